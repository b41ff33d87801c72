//! The header of a proxy.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use tidegate::transport::proxy::{ProxyOptions, parse};

/// What holds for any bytes: they are a header or not, a header that is read from a stream is the one that stands there,
/// and no byte behind it is read.
pub fn run(data: &[u8]) {
    let options = ProxyOptions::from_networks(vec!["192.0.2.0/24".parse().expect("a network")]);
    let proxy = "192.0.2.1:1".parse().ok();
    let mut stream = data;
    let received = {
        let receiving = pin!(options.receive(&mut stream, proxy));
        match receiving.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(received) => received,
            Poll::Pending => panic!("all bytes are there"),
        }
    };
    if let Ok(header) = received {
        let header = header.expect("the proxy is trusted");
        let len = data.len() - stream.len();
        assert_eq!(parse(&data[..len]).expect("it was read"), header);
        assert!(header.fields.iter().map(|(_, value)| value.len()).sum::<usize>() < len);
        assert!(parse(&data[..len - 1]).is_err(), "a header that lacks a byte");
    }
}
