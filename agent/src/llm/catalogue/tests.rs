use super::builtin::BUILTIN;
use super::*;

fn extended(rules: &[(&str, &str)]) -> Result<Catalogue, CatalogueError> {
    let rules: Vec<HostRule> = rules
        .iter()
        .map(|(host, provider)| HostRule {
            host: (*host).to_owned(),
            provider: (*provider).to_owned(),
        })
        .collect();
    Catalogue::builtin().extended(&rules)
}

#[test]
fn every_builtin_pattern_compiles() {
    assert_eq!(Catalogue::builtin().rules.len(), BUILTIN.len());
}

#[test]
fn builtin_hosts_have_their_provider() {
    let catalogue = Catalogue::builtin();
    let cases = [
        ("api.openai.com", Some("openai")),
        ("API.OpenAI.com.", Some("openai")),
        ("eu.api.openai.com", Some("openai")),
        ("xx.api.openai.com", None),
        ("openai.com", None),
        ("api.openai.com.evil.example", None),
        ("evilapi.openai.com", None),
        // For the operator to add: people chat there with their browsers.
        ("chatgpt.com", None),
        ("contoso.openai.azure.com", Some("azure.ai.openai")),
        ("a.b.openai.azure.com", Some("azure.ai.openai")),
        ("openai.azure.com", None),
        (".openai.azure.com", None),
        ("api.anthropic.com", Some("anthropic")),
        ("bedrock-mantle.eu-central-1.api.aws", Some("aws.bedrock")),
        ("bedrock-mantle..api.aws", None),
        ("bedrock-mantle.a.b.api.aws", None),
        ("api.x.ai", Some("x_ai")),
        ("", None),
        (".", None),
    ];
    for (host, provider) in cases {
        assert_eq!(
            catalogue.provider(host).map(Provider::as_str),
            provider,
            "{host}"
        );
    }
}

#[test]
fn rules_of_the_operator_come_first() {
    let catalogue = extended(&[
        ("api.openai.com", "gateway"),
        ("llm-*.corp.example", "openai"),
        ("10.1.2.3", "vllm"),
    ])
    .expect("the rules are well formed");
    let name = |host| catalogue.provider(host).map(Provider::as_str);
    assert_eq!(name("api.openai.com"), Some("gateway"));
    assert_eq!(
        catalogue.provider("llm-a.corp.example"),
        Some(&Provider::OpenAi)
    );
    assert_eq!(name("llm-a.b.corp.example"), None);
    assert_eq!(name("10.1.2.3"), Some("vllm"));
    assert_eq!(name("10.1.2.30"), None);
}

#[test]
fn malformed_rules_are_refused() {
    for host in [
        "",
        "https://a.example",
        "a..b",
        "a.example:443",
        "a/b",
        ".a",
        "ä.example",
    ] {
        assert!(
            matches!(extended(&[(host, "x")]), Err(CatalogueError::Host { .. })),
            "{host}"
        );
    }
    for provider in ["", "Upper", "with space"] {
        let result = extended(&[("a.example", provider)]);
        assert!(
            matches!(result, Err(CatalogueError::Provider { .. })),
            "{provider}"
        );
    }
}

#[test]
fn suffixes_cover_every_host_once() {
    let suffixes = Catalogue::builtin()
        .dns_suffixes()
        .expect("all built-in rules end in names");
    assert!(suffixes.contains(&"api.openai.com".to_owned()));
    assert!(suffixes.contains(&"openai.azure.com".to_owned()));
    assert!(suffixes.contains(&"api.aws".to_owned()));
    // Covered by api.openai.com.
    assert!(!suffixes.contains(&"eu.api.openai.com".to_owned()));
    for (host, _) in BUILTIN {
        let sample = host.replace('*', "x");
        assert!(
            suffixes
                .iter()
                .any(|suffix| sample == *suffix || sample.ends_with(&format!(".{suffix}"))),
            "{sample}"
        );
    }
}

#[test]
fn a_rule_without_a_literal_suffix_has_no_constraint() {
    for host in ["*", "api.*"] {
        let catalogue = extended(&[(host, "x")]).expect("well formed");
        assert_eq!(catalogue.dns_suffixes(), None, "{host}");
        assert!(catalogue.provider("api.anything").is_some(), "{host}");
    }
    let suffixes = extended(&[("192.0.2.1", "x")])
        .expect("well formed")
        .dns_suffixes();
    assert!(suffixes.is_some_and(|all| !all.contains(&"192.0.2.1".to_owned())));
}

#[test]
fn only_providers_can_be_required() {
    let patterns = ["*.openai.com".to_owned(), "example.org".to_owned()];
    let catalogue = Catalogue::builtin().requiring(&patterns);
    let catalogue = catalogue.expect("both are patterns");
    for (host, required) in [
        ("api.openai.com", true),
        ("API.OpenAI.com.", true),
        ("api.anthropic.com", false),
        ("www.openai.com", false),
        ("example.org", false),
        ("", false),
    ] {
        assert_eq!(catalogue.must_inspect(host), required, "{host}");
    }
}
