//! The CA's key, from one proxy of a pod to the next.
//!
//! Applications read whom to trust once, when they start. A proxy that is
//! restarted beside them must therefore speak for the same authority, or each of
//! their calls fails until they are restarted too. The key is left with the
//! kernel half, whose maps live as long as the pod, sealed with a secret that
//! only the proxy's volume holds: it is on no disk, and neither half is of use
//! alone.

use std::{
    os::fd::{AsFd, BorrowedFd},
    time::SystemTime,
};

use tokio::net::TcpListener;

use crate::{
    sys::claim::{leave_deposit, take_deposit},
    tls::{
        authority::{Authority, AuthorityError},
        seal::Seal,
    },
};

/// What there is to hand on, once it is.
#[derive(Clone, Debug)]
pub(super) struct Succession {
    sealed: Vec<u8>,
}

/// Whose authority it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Authorship {
    /// Made by this proxy, the first of the pod.
    Made,
    /// That of the proxy before it.
    Succeeded,
    /// Made by this proxy, because what the one before left cannot be opened.
    Lost,
}

impl Succession {
    /// The pod's authority, made if there is none yet. `listener` has claimed.
    pub(super) fn of_pod(
        listener: BorrowedFd<'_>,
        seal: &Seal,
        permitted: Option<&[String]>,
        now: SystemTime,
    ) -> anyhow::Result<(Authority, Authorship, Self)> {
        let left = take_deposit(listener)?;
        let (authority, authorship) = match &left {
            None => (Authority::new(permitted, now)?, Authorship::Made),
            Some(sealed) => match Authority::succeeding(seal, sealed, permitted, now) {
                Ok(Some(authority)) => (authority, Authorship::Succeeded),
                Ok(None) | Err(AuthorityError::NotAKey) => {
                    (Authority::new(permitted, now)?, Authorship::Lost)
                }
                Err(error) => return Err(error.into()),
            },
        };
        let sealed = authority.sealed(seal)?;
        let succession = Self { sealed };
        if authorship != Authorship::Succeeded {
            succession.leave(listener)?;
        }
        Ok((authority, authorship, succession))
    }

    /// Leaves it for the next one, again: the kernel half was attached anew.
    pub(super) fn renew(&self, listeners: &[TcpListener]) {
        let renewed = listeners
            .first()
            .map(|listener| self.leave(listener.as_fd()));
        if let Some(Err(error)) = renewed {
            tracing::warn!(
                %error,
                "a proxy that is restarted will have another certificate authority"
            );
        }
    }

    fn leave(&self, listener: BorrowedFd<'_>) -> std::io::Result<()> {
        leave_deposit(listener, &self.sealed)
    }
}
