//! To which topic a request goes, and to which its response.

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Topics {
    pub(super) request: String,
    /// `None`: the client makes one up.
    pub(super) response: Option<String>,
    /// Who answers knows nothing of Correlation Data.
    pub(super) by_topic_alone: bool,
}

impl Topics {
    pub(super) fn new(request: &str, response: Option<&str>) -> Topics {
        let response = response.map(str::to_owned);
        Topics { request: request.to_owned(), response, by_topic_alone: false }
    }

    /// A response topic that who answers can know without being told.
    pub(super) fn with_suffix(request: &str) -> Topics {
        let response = Some(format!("{request}/response"));
        Topics { request: request.to_owned(), response, by_topic_alone: true }
    }

    /// Those of MQTTnet.Extensions.Rpc: a topic of its own for each call.
    pub(super) fn of_mqttnet(method: &str) -> Topics {
        Topics::with_suffix(&format!("MQTTnet.RPC/{}/{method}", guid(fastrand::u128(..))))
    }
}

/// As .NET writes a GUID with the format "N".
fn guid(number: u128) -> String {
    format!("{number:032x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_of_mqttnet_has_topics_of_its_own() {
        let [first, second] = [(); 2].map(|()| Topics::of_mqttnet("Reboot"));
        assert_ne!(first, second);
        let parts: Vec<&str> = first.request.split('/').collect();
        assert_eq!((parts[0], parts[1].len(), parts[2]), ("MQTTnet.RPC", 32, "Reboot"));
        assert_eq!(first.response.unwrap(), format!("{}/response", first.request));
    }
}
