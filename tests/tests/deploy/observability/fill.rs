//! Grafana's variables in an expression, filled in as Grafana does it.

/// What the variables stand for.
#[derive(Clone)]
pub(super) struct Filled {
    /// `$job`, `$instance` and `$topic`, as Grafana joins what was chosen: `a|b`, or `.+` for all.
    pub(super) job: String,
    pub(super) instance: String,
    pub(super) topic: String,
    /// `$__rate_interval` in seconds: four scrapes, or a step of the graph and one scrape, whichever is more.
    pub(super) rate_interval_s: u32,
    /// `$__range` in seconds: the time shown.
    pub(super) range_s: u32,
}

impl Filled {
    /// The expression as Prometheus gets it.
    pub(super) fn expression(&self, expression: &str) -> String {
        let mut filled = expression.to_owned();
        for (name, value) in [
            ("$__rate_interval", format!("{}s", self.rate_interval_s)),
            ("$__range", format!("{}s", self.range_s)),
            ("$instance", self.instance.clone()),
            ("$topic", self.topic.clone()),
            ("$job", self.job.clone()),
        ] {
            filled = filled.replace(name, &value);
        }
        assert!(!filled.contains('$'), "a variable that Grafana does not know: {filled}");
        filled
    }
}

impl Default for Filled {
    /// Everything chosen, for what is only parsed. The odd range is recognised in what the parser says.
    fn default() -> Self {
        let all = ".+".to_owned();
        Filled { job: all.clone(), instance: all.clone(), topic: all, rate_interval_s: 12_345, range_s: 54_321 }
    }
}
