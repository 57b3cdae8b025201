//! A point in time as the clock on the wall shows it, for people at a terminal.
//! Records and JSON are in UTC (`meter::timestamp`).

use std::fmt;
use std::mem::MaybeUninit;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Date and time of day in the time zone of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    year: i32,
    month: i32,
    day: i32,
    hour: i32,
    minute: i32,
    second: i32,
    millisecond: u32,
}

impl LocalTime {
    /// None for times before 1970 and beyond what calendars hold.
    #[must_use]
    pub fn of(time: SystemTime) -> Option<Self> {
        let since = time.duration_since(UNIX_EPOCH).ok()?;
        let seconds = libc::time_t::try_from(since.as_secs()).ok()?;
        let mut fields = MaybeUninit::<libc::tm>::uninit();
        // SAFETY: both pointers are valid for the call; nothing in this program
        // sets TZ, which is what localtime_r must not run beside.
        #[expect(unsafe_code, reason = "the time zone is the C library's to know")]
        let fields = unsafe {
            let filled = libc::localtime_r(&raw const seconds, fields.as_mut_ptr());
            if filled.is_null() {
                return None;
            }
            fields.assume_init()
        };
        Some(Self {
            year: fields.tm_year + 1900,
            month: fields.tm_mon + 1,
            day: fields.tm_mday,
            hour: fields.tm_hour,
            minute: fields.tm_min,
            second: fields.tm_sec,
            millisecond: since.subsec_millis(),
        })
    }

    /// The time of day with milliseconds.
    #[must_use]
    pub fn time_of_day(self) -> impl fmt::Display {
        fmt::from_fn(move |out| {
            write!(
                out,
                "{:02}:{:02}:{:02}.{:03}",
                self.hour, self.minute, self.second, self.millisecond
            )
        })
    }
}

/// Date and time of day, to the second.
impl fmt::Display for LocalTime {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
            self.year, self.month, self.day, self.hour, self.minute, self.second
        )
    }
}

/// The moment that a reading of the kernel's clock of programs
/// (`CLOCK_MONOTONIC`, nanoseconds) stands for, given now.
#[must_use]
pub fn of_monotonic(at_ns: u64) -> SystemTime {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanoseconds = u32::try_from(now.tv_nsec).unwrap_or(0);
    let now = Duration::new(seconds, nanoseconds);
    let age = now.saturating_sub(Duration::from_nanos(at_ns));
    SystemTime::now().checked_sub(age).unwrap_or(UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_clocks_show_it() {
        let time = LocalTime {
            year: 2026,
            month: 3,
            day: 9,
            hour: 4,
            minute: 5,
            second: 6,
            millisecond: 7,
        };
        assert_eq!(time.to_string(), "2026-03-09 04:05:06");
        assert_eq!(time.time_of_day().to_string(), "04:05:06.007");
    }

    #[test]
    fn the_local_time_is_at_most_a_day_from_utc() {
        let noon = UNIX_EPOCH + Duration::from_millis(1_000_000_000_250);
        let local = LocalTime::of(noon).expect("after 1970");
        // 2001-09-09T01:46:40Z; zones reach from -12 to +14 hours.
        assert_eq!((local.year, local.month), (2001, 9));
        assert!((8..=9).contains(&local.day), "{local}");
        assert_eq!((local.second, local.millisecond), (40, 250));
        assert_eq!(LocalTime::of(UNIX_EPOCH - Duration::from_secs(1)), None);
    }

    #[test]
    fn a_reading_of_the_monotonic_clock_is_dated_from_now() {
        let long_ago = of_monotonic(0);
        assert!(long_ago < SystemTime::now());
        let future = of_monotonic(u64::MAX);
        assert!(future <= SystemTime::now());
    }
}
