//! The options as a list, with what is in force.

use core::fmt;

use crate::options::{self, Kind, Source, Spec, TABLE};
use crate::text::Text;

/// One of bifold's options, and what is in force; from [`options`].
///
/// Values are text as the environment variable takes it: sizes in bytes, or
/// with `K`, `M`, `G` or `T`, times with `ms`, `s` or `min`, and `any` for what is
/// no limit.
#[derive(Clone, Copy, Debug)]
pub struct OptionInfo {
    spec: &'static Spec,
}

/// All options, in the order of the README's table.
///
/// It takes no lock and allocates nothing. What [`OptionInfo::value`] says is of
/// the moment it is called at; a program's own options are in force from its
/// first allocation on.
///
/// # Examples
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: bifold::Bifold = bifold::Bifold::new().purge_delay_ms(250);
///
/// let set = bifold::options().filter(|option| option.source() != bifold::Source::Default);
/// for option in set {
///     println!("{}={}", option.variable(), option.value());
/// }
/// ```
pub fn options() -> impl ExactSizeIterator<Item = OptionInfo> {
    TABLE.iter().map(|spec| OptionInfo { spec })
}

impl OptionInfo {
    /// The method of [`crate::Bifold`] that sets it; of times, without `_ms`.
    pub fn name(&self) -> &'static str {
        self.spec.name
    }

    /// The environment variable that sets it: `BIFOLD_`, and the name in
    /// capitals.
    pub fn variable(&self) -> impl fmt::Display + use<> {
        Shown::new(|text| {
            text.text("BIFOLD_");
            text.capitals(self.spec.name);
        })
    }

    /// What its values are: `flag`, `size`, `size or share`, `time`, `number` or
    /// `word`. A share, as `50%`, is of what memory the process may have.
    pub fn kind(&self) -> &'static str {
        match self.spec.kind {
            Kind::Flag => "flag",
            Kind::Size => "size",
            Kind::SizeOrShare => "size or share",
            Kind::Time => "time",
            Kind::Count => "number",
            Kind::Choice(_) => "word",
        }
    }

    /// Its value where nobody says anything.
    pub fn default(&self) -> impl fmt::Display + use<> {
        self.shown(self.spec.default)
    }

    /// Which values it can have: the words, or the least and the most.
    pub fn range(&self) -> impl fmt::Display + use<> {
        Shown::new(|text| options::show_range(self.spec, text))
    }

    /// What it does, in a line of Markdown.
    pub fn help(&self) -> &'static str {
        self.spec.help
    }

    /// The value that is in force.
    pub fn value(&self) -> impl fmt::Display + use<> {
        self.shown(options::value(self.spec.id))
    }

    /// Who has set the value that is in force.
    pub fn source(&self) -> Source {
        options::source(self.spec.id)
    }

    fn shown(&self, value: u64) -> Shown {
        Shown::new(|text| options::show(self.spec.kind, value, text))
    }
}

/// Text that has been put together, as long as an option's longest.
struct Shown(Text<64>);

impl Shown {
    fn new(fill: impl FnOnce(&mut Text<64>)) -> Self {
        let mut text = Text::new();
        fill(&mut text);
        Self(text)
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.0.as_str())
    }
}
