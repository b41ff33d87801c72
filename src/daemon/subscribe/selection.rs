//! Which messages are printed, and which are removed.

use clap::Args;

use crate::daemon::connect::topic_filter;
use crate::daemon::exit::Failure;
use crate::packet::Publish;
use crate::topic::{TopicFilter, TopicName};

/// Which messages are printed.
#[derive(Debug, Args)]
pub(super) struct SelectionArguments {
    /// Leave out messages of these topics; may be given several times
    #[arg(short = 'T', long, value_name = "FILTER")]
    filter_out: Vec<String>,
    /// Leave out messages that the broker had kept
    #[arg(short = 'R')]
    no_retained: bool,
    /// Print messages that the broker had kept, and end at the first other one
    #[arg(long, conflicts_with = "no_retained")]
    retained_only: bool,
    /// Remove the retained messages that come, but those of -T, from the broker
    #[arg(long)]
    remove_retained: bool,
}

#[derive(Debug)]
pub(super) struct Selection {
    filter_out: Vec<TopicFilter>,
    no_retained: bool,
    retained_only: bool,
    remove_retained: bool,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Printed,
    LeftOut,
    /// It is not printed, and nothing that comes later is.
    Last,
}

impl SelectionArguments {
    pub(super) fn selection(&self) -> Result<Selection, Failure> {
        let filter_out: Result<_, _> = self.filter_out.iter().map(|text| topic_filter(text)).collect();
        Ok(Selection {
            filter_out: filter_out?,
            no_retained: self.no_retained,
            retained_only: self.retained_only,
            remove_retained: self.remove_retained,
        })
    }
}

impl Selection {
    pub(super) fn fate(&self, message: &Publish) -> Fate {
        if self.retained_only && !message.retain {
            Fate::Last
        } else if self.no_retained && message.retain || self.is_filtered_out(message) {
            Fate::LeftOut
        } else {
            Fate::Printed
        }
    }

    /// An empty message removes nothing: where RETAIN stands as published, a removal comes back as one.
    pub(super) fn removes(&self, message: &Publish) -> bool {
        self.remove_retained
            && message.retain
            && !message.payload.is_empty()
            && !self.is_filtered_out(message)
    }

    fn is_filtered_out(&self, message: &Publish) -> bool {
        if self.filter_out.is_empty() {
            return false;
        }
        let Ok(topic) = TopicName::try_from(message.topic.clone()) else { return false };
        self.filter_out.iter().any(|filter| filter.matches(&topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(filter_out: &[&str]) -> Selection {
        Selection {
            filter_out: filter_out.iter().map(|text| TopicFilter::try_from(*text).unwrap()).collect(),
            no_retained: false,
            retained_only: false,
            remove_retained: true,
        }
    }

    fn message(topic: &'static str, retain: bool) -> Publish {
        Publish::new(topic.into(), "x".into()).with_retain(retain)
    }

    #[test]
    fn what_is_filtered_out_is_neither_printed_nor_removed() {
        let selection = selection(&["a/#", "b"]);
        for (topic, fate, removed) in
            [("a", Fate::LeftOut, false), ("a/b", Fate::LeftOut, false), ("b/c", Fate::Printed, true)]
        {
            let message = message(topic, true);
            assert_eq!((selection.fate(&message), selection.removes(&message)), (fate, removed), "{topic}");
        }
        assert!(!selection.removes(&message("c", false)));
    }

    #[test]
    fn retained_messages_are_removed_where_they_are_not_printed_too() {
        let selection = Selection { no_retained: true, ..selection(&[]) };
        let message = message("a", true);
        assert_eq!((selection.fate(&message), selection.removes(&message)), (Fate::LeftOut, true));
    }

    #[test]
    fn the_first_message_that_is_not_retained_is_the_end_where_only_those_are_wanted() {
        let selection = Selection { retained_only: true, ..selection(&["a"]) };
        assert_eq!(selection.fate(&message("b", true)), Fate::Printed);
        assert_eq!(selection.fate(&message("a", false)), Fate::Last);
    }
}
