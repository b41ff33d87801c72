//! What one listener's door lets through, and who is shut out.

use tokio::time::advance;

use super::*;

const OPEN: GuardOptions = GuardOptions {
    exempt: Vec::new(),
    connections_per_address: 0,
    connection_rate_per_address: 0,
    connection_burst: Duration::from_secs(1),
    pending_connections: 10,
    pending_bytes: 1000,
    remembered: 1000,
    failed_logins: 3,
    failed_logins_per_address: 6,
    failed_login_window: Duration::from_secs(60),
    ban: Duration::from_secs(60),
    longest_ban: Duration::from_secs(600),
    flapping_connects: 0,
    flapping_window: Duration::from_secs(60),
    flapping_ban: Duration::from_secs(60),
    packet_timeout: Duration::from_secs(30),
    minimum_packet_rate: 0,
    incomplete_bytes: 1000,
    client_publishes: PublishLimits { messages: 0, bytes: 0 },
    publish_burst: Duration::from_secs(1),
    publish_rate_action: RateAction::Delay,
};

const ANY: DoorLimits =
    DoorLimits { connections: 0, connection_rate: 0, publishes: PublishLimits { messages: 0, bytes: 0 } };

fn guard(options: GuardOptions) -> Arc<Guard> {
    let counters = Arc::new(Counters::new(&crate::broker::Options::default()));
    Arc::new(Guard::new(options, counters))
}

fn door(options: GuardOptions, limits: DoorLimits) -> (Arc<Guard>, Door) {
    let guard = guard(options);
    (guard.clone(), Door::new(guard, limits))
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Enters from there, or says what it is counted as.
fn enter(door: &Door, address: &str) -> Result<Place, Count> {
    door.enter(Some(ip(address)), 1000).map_err(|turned| turned.counted)
}

fn login<'a>(guard: &Guard, address: &str, name: &'a str) -> Login<'a> {
    guard.login(ip(address), "client", Some(name)).unwrap()
}

/// The Reason Code with which a login is refused.
fn refusal(guard: &Guard, address: &str, name: &str) -> Option<ReasonCode> {
    guard.may_log_in(login(guard, address, name)).err().map(|turned| turned.reason)
}

fn fail(guard: &Guard, address: &str, name: &str, times: usize) {
    for _ in 0..times {
        guard.login_failed(login(guard, address, name));
    }
}

const BANNED: Option<ReasonCode> = Some(ReasonCode::BANNED);

#[tokio::test(start_paused = true)]
async fn an_address_has_no_more_connections_than_it_may_and_its_range_of_ipv6_counts_as_one() {
    let (guard, door) = door(GuardOptions { connections_per_address: 2, ..OPEN }, ANY);
    let places = ["192.0.2.1", "192.0.2.1", "2001:db8::1", "2001:db8::2"].map(|it| enter(&door, it).unwrap());
    for address in ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::ffff:3"] {
        assert_eq!(enter(&door, address).unwrap_err(), Count::LimitConnectionsPerAddress);
    }
    assert_eq!((guard.connections(), door.connections()), (4, 4));
    let other = enter(&door, "192.0.2.2").unwrap();
    drop(places);
    enter(&door, "192.0.2.1").unwrap();
    drop(other);
    assert_eq!((guard.connections(), door.connections(), guard.remembered()), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_address_connects_no_faster_than_it_may() {
    let options = GuardOptions { connection_rate_per_address: 10, ..OPEN };
    let (guard, door) = door(options, ANY);
    assert_eq!((0..50).filter(|_| enter(&door, "192.0.2.1").is_ok()).count(), 11);
    assert_eq!(enter(&door, "192.0.2.1").unwrap_err(), Count::LimitConnectionRatePerAddress);
    assert!(enter(&door, "192.0.2.2").is_ok());
    advance(Duration::from_millis(500)).await;
    assert_eq!((0..50).filter(|_| enter(&door, "192.0.2.1").is_ok()).count(), 5);
    advance(Duration::from_secs(2)).await;
    drop(["192.0.2.1", "192.0.2.2"].map(|it| enter(&door, it)));
    advance(Duration::from_secs(2)).await;
    drop(["192.0.2.1", "192.0.2.2"].map(|it| enter(&door, it)));
    assert_eq!(guard.remembered(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_listener_has_a_limit_and_a_rate_of_its_own() {
    let limits = DoorLimits { connections: 3, connection_rate: 4, ..ANY };
    let (guard, one) = door(OPEN, limits.clone());
    let other = Door::new(guard, limits);
    let mut places: Vec<Place> = (0..3).map(|n| enter(&one, &format!("192.0.2.{n}")).unwrap()).collect();
    assert_eq!(enter(&one, "192.0.2.9").unwrap_err(), Count::LimitListenerConnections);
    places.push(enter(&other, "192.0.2.9").unwrap());
    places.truncate(2);
    drop(enter(&one, "192.0.2.9").unwrap());
    drop(enter(&one, "192.0.2.9").unwrap());
    assert_eq!(enter(&one, "192.0.2.9").unwrap_err(), Count::LimitListenerConnectionRate);
    assert_eq!(one.connections(), 2);
    one.set_limits(ANY);
    assert!(enter(&one, "192.0.2.9").is_ok());
}

#[tokio::test(start_paused = true)]
async fn all_listeners_together_have_no_more_connections_than_there_may_be() {
    let (guard, one) = door(OPEN, ANY);
    let other = Door::new(guard.clone(), ANY);
    let _places = [one.enter(None, 2).unwrap(), other.enter(None, 2).unwrap()];
    assert_eq!(other.enter(None, 2).unwrap_err().counted, Count::LimitConnections);
    assert_eq!(guard.connections(), 2);
}

#[tokio::test(start_paused = true)]
async fn exempt_addresses_have_no_limit_but_that_of_all() {
    let options = GuardOptions {
        exempt: vec!["198.51.100.0/24".parse().unwrap()],
        connections_per_address: 1,
        connection_rate_per_address: 1,
        ..OPEN
    };
    let (guard, door) = door(options, DoorLimits { connection_rate: 1, ..ANY });
    let _places: Vec<Place> = (0..100).map(|_| enter(&door, "198.51.100.7").unwrap()).collect();
    assert!(guard.login(ip("198.51.100.7"), "a", None).is_none());
    assert_eq!((guard.remembered(), guard.connections()), (0, 100));
}

#[tokio::test(start_paused = true)]
async fn a_client_behind_a_proxy_counts_once_its_address_is_known() {
    let (guard, door) = door(GuardOptions { connections_per_address: 1, ..OPEN }, ANY);
    let mut places: Vec<Place> = (0..3).map(|_| door.enter(None, 1000).unwrap()).collect();
    places[0].comes_from(ip("192.0.2.1")).unwrap();
    let turned = places[1].comes_from(ip("192.0.2.1")).unwrap_err();
    assert_eq!(turned.counted, Count::LimitConnectionsPerAddress);
    places[2].comes_from(ip("192.0.2.2")).unwrap();
    assert_eq!((guard.connections(), guard.remembered()), (3, 2));
    drop(places);
    assert_eq!((guard.connections(), guard.remembered()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_name_is_shut_out_from_the_address_that_guessed_and_from_no_other() {
    let (guard, door) = door(OPEN, ANY);
    fail(&guard, "192.0.2.1", "ada", 2);
    assert_eq!(refusal(&guard, "192.0.2.1", "ada"), None);
    fail(&guard, "192.0.2.1", "ada", 1);
    assert_eq!(refusal(&guard, "192.0.2.1", "ada"), BANNED);
    assert_eq!(refusal(&guard, "192.0.2.2", "ada"), None);
    assert_eq!(refusal(&guard, "192.0.2.1", "bob"), None);
    assert!(enter(&door, "192.0.2.1").is_ok());
    let bans = guard.bans();
    assert_eq!(
        (bans.len(), bans[0].name.as_deref(), bans[0].cause),
        (1, Some("ada"), BanCause::FailedLogins)
    );
    advance(Duration::from_secs(60)).await;
    assert_eq!(refusal(&guard, "192.0.2.1", "ada"), None);
    fail(&guard, "192.0.2.1", "ada", 3);
    assert_eq!(guard.bans()[0].left, Duration::from_secs(120));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_guesses_at_many_names_is_shut_out_with_all_of_them() {
    let (guard, door) = door(OPEN, ANY);
    let names: Vec<String> = (0..6).map(|n| format!("name-{n}")).collect();
    names.iter().for_each(|name| fail(&guard, "192.0.2.1", name, 1));
    assert_eq!(enter(&door, "192.0.2.1").unwrap_err(), Count::RefusedBanned);
    assert_eq!(refusal(&guard, "192.0.2.1", "ada"), BANNED);
    assert!(enter(&door, "192.0.2.2").is_ok());
    assert_eq!((guard.bans().len(), &guard.bans()[0].name), (1, &None));
    assert_eq!((guard.lift_bans(ip("192.0.2.1")), guard.bans()), (1, Vec::new()));
    assert!(enter(&door, "192.0.2.1").is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_login_that_succeeds_takes_back_what_counted_against_its_name_alone() {
    let guard = guard(OPEN);
    for _ in 0..2 {
        fail(&guard, "192.0.2.1", "ada", 2);
        guard.login_succeeded(login(&guard, "192.0.2.1", "ada"));
    }
    assert_eq!(refusal(&guard, "192.0.2.1", "ada"), None);
    // Whoever has an account could else guess at others between two logins of its own.
    fail(&guard, "192.0.2.1", "bob", 2);
    assert_eq!(refusal(&guard, "192.0.2.1", "ada"), BANNED);
    assert_eq!(guard.bans()[0].name, None);
}

#[tokio::test(start_paused = true)]
async fn without_a_user_name_it_is_the_client_identifier_that_is_guessed_at() {
    let guard = guard(OPEN);
    let login = guard.login(ip("192.0.2.1"), "meter-7", None).unwrap();
    (0..3).for_each(|_| guard.login_failed(login));
    assert!(guard.may_log_in(login).is_err());
    assert_eq!(guard.bans()[0].name.as_deref(), Some("meter-7"));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_and_goes_is_shut_out_from_its_address() {
    let guard = guard(GuardOptions { flapping_connects: 5, ..OPEN });
    let from = |address: &str| guard.login(ip(address), "flaps", None).unwrap();
    (0..5).for_each(|_| guard.login_succeeded(from("192.0.2.1")));
    let turned = guard.may_log_in(from("192.0.2.1")).unwrap_err();
    assert_eq!(
        (turned.reason, turned.counted),
        (ReasonCode::CONNECTION_RATE_EXCEEDED, Count::RefusedFlapping)
    );
    assert!(guard.may_log_in(from("192.0.2.2")).is_ok());
    assert_eq!((guard.bans().len(), guard.bans()[0].cause), (1, BanCause::Flapping));
    advance(Duration::from_secs(60)).await;
    assert!(guard.may_log_in(from("192.0.2.1")).is_ok());
    let nameless = guard.login(ip("192.0.2.1"), "", None).unwrap();
    (0..100).for_each(|_| guard.login_succeeded(nameless));
    assert!(guard.may_log_in(nameless).is_ok());
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_addresses_and_names_take_no_more_room_than_the_limit() {
    let options = GuardOptions { flapping_connects: 5, connection_rate_per_address: 1, ..OPEN };
    let (guard, door) = door(options, ANY);
    for n in 0..10_000_u32 {
        let address = IpAddr::from(std::net::Ipv6Addr::from(u128::from(n) << 64 | 0x2001 << 112));
        drop(door.enter(Some(address), 1000).unwrap());
        let name = format!("name-{n}");
        let login = guard.login(address, &name, None).unwrap();
        guard.login_failed(login);
        guard.login_succeeded(login);
    }
    assert!(guard.remembered() <= 3 * OPEN.remembered, "{}", guard.remembered());
}

#[tokio::test(start_paused = true)]
async fn a_ban_shows_little_of_a_long_name() {
    let guard = guard(OPEN);
    let name = "ü".repeat(60_000);
    fail(&guard, "192.0.2.1", &name, 3);
    assert_eq!(guard.bans()[0].name.as_deref(), Some(&*"ü".repeat(64)));
}
