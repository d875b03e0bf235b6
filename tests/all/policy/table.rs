//! README.md's table of the options is the one in the source.
//!
//! `BIFOLD_BLESS=1` writes it.

use std::collections::BTreeSet;
use std::fs;

use crate::measure::workspace;

const START: &str = "<!-- From the source: BIFOLD_BLESS=1 cargo test --release policy::table -->\n";
const END: &str = "<!-- End of the table -->\n";

/// The table in Markdown.
fn rendered() -> String {
    let rows = bifold::options().map(|option| {
        format!(
            "| `{}` | {} | {} | {} |\n",
            option.variable(),
            option.default(),
            option.range(),
            option.help()
        )
    });
    let head = "| variable | default | values | what it does |\n|---|---|---|---|\n";
    head.to_owned() + &rows.collect::<String>()
}

#[test]
fn the_readme_has_every_option() {
    let file = workspace().join("README.md");
    let text = fs::read_to_string(&file).expect("README.md is there");
    let start = text.find(START).expect("README.md says where it starts") + START.len();
    let end = start
        + text[start..]
            .find(END)
            .expect("README.md says where it ends");
    if std::env::var_os("BIFOLD_BLESS").is_some_and(|value| value == "1") {
        let blessed = text[..start].to_owned() + &rendered() + &text[end..];
        fs::write(file, blessed).expect("README.md is writable");
        return;
    }
    assert_eq!(
        &text[start..end],
        rendered(),
        "README.md is not up to date (BIFOLD_BLESS=1 writes it)"
    );
}

#[test]
fn what_is_said_of_an_option_agrees() {
    let mut names = BTreeSet::new();
    for option in bifold::options() {
        let name = option.name();
        assert!(names.insert(name), "{name} is there twice");
        let variable = option.variable().to_string();
        assert_eq!(variable, format!("BIFOLD_{}", name.to_uppercase()));
        let kinds = ["flag", "size", "size or share", "time", "number", "word"];
        assert!(kinds.contains(&option.kind()), "{name}: {}", option.kind());
        assert!(option.help().ends_with('.'), "{name}");
        for text in [option.default().to_string(), option.value().to_string()] {
            assert!(!text.is_empty() && text.is_ascii(), "{name}: {text}");
        }
        // A width is kept to, as with any text.
        assert_eq!(format!("{:>9}", option.default()).len(), 9, "{name}");
    }
}
