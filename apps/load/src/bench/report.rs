//! A row of figures.

use serde_json::json;

/// One figure against one peer.
pub struct Row {
    /// The row's name in the list of what is measured.
    pub id: &'static str,
    /// What is measured.
    pub what: String,
    /// Ours over the peer's.
    pub value: f64,
    /// Against what.
    pub peer: &'static str,
    /// What is aimed at.
    pub target: Target,
    /// The figures behind it, for a person.
    pub figures: String,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// The more, the better.
    AtLeast(f64),
    /// The less, the better.
    AtMost(f64),
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(least) => value >= least,
            Self::AtMost(most) => value <= most,
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, ">={least}"),
            Self::AtMost(most) => write!(f, "<={most}"),
        }
    }
}

impl Row {
    /// One line.
    pub fn to_json(&self) -> String {
        let value = (self.value * 100.0).round() / 100.0;
        let met = self.target.is_met(self.value);
        let target = self.target.to_string();
        json!({"id": self.id, "what": self.what, "value": value, "peer": self.peer, "target": target, "met": met,
            "figures": self.figures})
        .to_string()
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { id, what, value, peer, target, figures } = self;
        let verdict = if target.is_met(*value) { "met" } else { "not met" };
        write!(f, "{id}  {what}\n    {value:.2} against {peer} (target {target}, {verdict})\n    {figures}")
    }
}

/// The middle of an odd number of figures.
pub fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
