//! The configuration file: whatever is in it, it is read or each problem is told with its line.

use std::path::Path;

use tidegate::config::Config;

pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Nothing lies there: files that the text names are not found.
    let file = Path::new("/nonexistent/tidegate.toml");
    match Config::parse(file, text) {
        Ok(config) => {
            let again = Config::parse(file, text).expect("it was read before");
            assert_eq!(format!("{config:?}"), format!("{again:?}"));
        }
        Err(report) => {
            let lines = text.lines().count().max(1);
            assert!(!report.problems.is_empty());
            for problem in &report.problems {
                assert!(problem.line.is_none_or(|line| (1..=lines + 1).contains(&line)), "{problem}");
                assert!(!problem.to_string().contains('\n'), "{problem}");
            }
        }
    }
}
