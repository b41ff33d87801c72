use super::*;

fn work(busy: f64, active: u32) -> Work {
    Work { ran: busy, busy, active, moved: 1e6 * busy }
}

fn moves(from: usize, to: usize, connections: u32) -> Option<Act> {
    Some(Act::Move { from, to, connections, guests: 0 })
}

/// What is done in the period in which something is, at the latest after so many.
fn first_act(balance: &mut Balance, threads: &[Work], periods: u32) -> Option<(u32, Act)> {
    (1..=periods).find_map(|period| Some((period, balance.next(threads)?)))
}

/// A balance that has just begun to try whether one thread does as much as these.
fn trying(threads: &[Work; 2]) -> Balance {
    let mut balance = Balance::default();
    let begun = first_act(&mut balance, threads, 100);
    let guests = Act::Move { from: 0, to: 1, connections: threads[0].active, guests: 1 };
    assert_eq!(begun, Some((PATIENCE, guests)));
    balance
}

/// Busy by two thirds and a little more each, as in fan-in.
const TWO: [Work; 2] = [
    Work { ran: 0.65, busy: 0.65, active: 50, moved: 50e6 },
    Work { ran: 0.68, busy: 0.68, active: 51, moved: 50e6 },
];

/// What the second of them has to do when it has it all, and moves so much.
fn one(moved: f64) -> [Work; 2] {
    [work(0.0, 0), Work { ran: 1.0, busy: 1.0, active: 101, moved }]
}

#[test]
fn a_thread_with_too_much_to_do_gives_half_the_difference_at_once() {
    let moved = Balance::default().next(&[work(1.0, 100), work(0.0, 0)]);
    assert_eq!(moved, moves(0, 1, 50));
    let moved = Balance::default().next(&[work(0.2, 10), work(1.0, 100), work(0.6, 10)]);
    assert_eq!(moved, moves(1, 0, 40));
}

#[test]
fn threads_that_all_have_much_to_do_stay_as_they_are() {
    let mut balance = Balance::default();
    assert_eq!(first_act(&mut balance, &[work(1.0, 100), work(0.9, 100)], 100), None);
    assert_eq!(first_act(&mut balance, &[work(0.8, 100), work(0.8, 100)], 100), None);
}

#[test]
fn a_single_busy_connection_is_not_sent_around() {
    assert_eq!(first_act(&mut Balance::default(), &[work(1.0, 1), work(0.0, 0)], 100), None);
}

#[test]
fn two_threads_with_little_to_do_become_one_after_a_while() {
    let threads = [work(0.3, 50), work(0.4, 60)];
    let gathered = Act::Move { from: 0, to: 1, connections: 50, guests: 1 };
    assert_eq!(first_act(&mut Balance::default(), &threads, 100), Some((PATIENCE, gathered)));
    // Which of them has less to do differs from period to period.
    let mut balance = Balance::default();
    let turns = [[0.3, 0.4], [0.4, 0.3]].map(|busy| busy.map(|busy| work(busy, 50)));
    let acts: Vec<_> = (0..5).map(|period| balance.next(&turns[period % 2])).collect();
    assert_eq!(acts, [None, None, None, None, Some(gathered)]);
}

#[test]
fn a_thread_that_waits_for_a_core_has_too_much_to_do_and_yet_little() {
    let waits = Work { ran: 0.3, busy: 0.95, active: 10, moved: 1e6 };
    let gathered = Act::Move { from: 0, to: 1, connections: 10, guests: 1 };
    assert_eq!(first_act(&mut Balance::default(), &[waits, waits], 5), Some((5, gathered)));
    assert_eq!(spread(&[waits, work(0.1, 1)], None), Some(Spread { from: 0, to: 1, connections: 4 }));
}

#[test]
fn a_thread_without_busy_connections_has_nothing_to_gather() {
    assert_eq!(first_act(&mut Balance::default(), &[work(0.3, 50), work(0.0, 0)], 100), None);
}

#[test]
fn threads_whose_times_the_kernel_does_not_count_stay_as_they_are() {
    // They seemed to have nothing to do, and one of them got all the connections of the others.
    assert_eq!(first_act(&mut Balance::default(), &[work(0.0, 50), work(0.0, 60)], 100), None);
}

#[test]
fn what_was_spread_stays_so_for_a_time_that_grows() {
    let (much, little) = ([work(1.0, 100), work(0.0, 0)], [work(0.2, 50), work(0.2, 50)]);
    let mut balance = Balance::default();
    let mut waits = Vec::new();
    for _ in 0..6 {
        assert!(balance.next(&much).is_some());
        waits.push(first_act(&mut balance, &little, 2 * LONG_REST).unwrap().0);
    }
    assert!(waits.is_sorted(), "{waits:?}");
    assert!(waits[0] >= SHORT_REST && waits[5] > 4 * waits[0], "{waits:?}");
    assert!(waits[5] <= LONG_REST + PATIENCE, "{waits:?}");
    assert_eq!(first_act(&mut balance, &[work(0.8, 50), work(0.8, 50)], 2 * LONG_REST), None);
    balance.next(&much);
    assert_eq!(first_act(&mut balance, &little, LONG_REST).unwrap().0, waits[0]);
}

#[test]
fn one_thread_that_does_as_much_as_two_is_left_alone_for_a_while_and_then_two_are_tried_again() {
    let mut balance = trying(&TWO);
    // The trial, and the time for which nothing more is asked. Who came goes back.
    let act = first_act(&mut balance, &one(99e6), 1000);
    assert_eq!(act, Some((5 + ALONE, Act::Back { from: 1, to: 0, guests: 1 })));
    // Two move no more: one is tried at once.
    let (periods, act) = first_act(&mut balance, &TWO, 1000).unwrap();
    assert_eq!((periods, act), (PATIENCE, Act::Move { from: 0, to: 1, connections: 50, guests: 2 }));
}

#[test]
fn one_thread_that_does_less_than_two_gives_back_what_it_got_and_each_time_it_is_longer_before_that_is_tried_again()
 {
    let mut balance = trying(&TWO);
    let rests = [1, 2, 3, 4].map(|guests| {
        let back = Act::Back { from: 1, to: 0, guests };
        assert_eq!(first_act(&mut balance, &one(80e6), 100), Some((5, back)));
        first_act(&mut balance, &TWO, 1000).unwrap().0
    });
    assert_eq!(rests.map(|periods| periods + 1 - PATIENCE), [1, 2, 4, 8].map(|it| it * SHORT_REST_OF_TRIALS));
}

#[test]
fn a_thread_that_does_as_much_as_two_is_helped_when_there_is_more_to_do() {
    let usual = one(99e6);
    let connections = Work { active: 122, ..usual[1] };
    let bytes = Work { moved: 151e6, ..usual[1] };
    for (more, periods) in [(connections, 1), (bytes, PATIENCE)] {
        let mut balance = trying(&TWO);
        assert_eq!(first_act(&mut balance, &usual, 20), None, "it is left alone");
        // One period says little about the bytes.
        let peak = [usual[0], Work { active: usual[1].active, ..more }];
        assert_eq!(balance.next(&peak), None);
        assert_eq!(balance.next(&usual), None);
        let act = first_act(&mut balance, &[usual[0], more], 20);
        assert_eq!(act.map(|(periods, _)| periods), Some(periods));
    }
}

#[test]
fn a_thread_with_too_much_to_do_gives_to_one_with_little_less_only_if_one_of_them_is_not_enough() {
    let threads = |other| [Work { ran: 0.45, ..work(other, 50) }, Work { ran: 0.7, ..work(0.97, 51) }];
    let trying = Act::Move { from: 0, to: 1, connections: 50, guests: 1 };
    let mut balance = Balance::default();
    assert_eq!(first_act(&mut balance, &threads(0.7), 100), Some((PATIENCE, trying)));
    let not_enough = |balance: &mut Balance| {
        assert!(matches!(first_act(balance, &one(0.8e6), 100), Some((2, Act::Back { .. }))));
    };
    not_enough(&mut balance);
    assert!(matches!(first_act(&mut balance, &threads(0.7), 100), Some((_, Act::Move { guests: 2, .. }))));
    not_enough(&mut balance);
    let (periods, act) = first_act(&mut balance, &threads(0.7), 100).unwrap();
    assert_eq!((periods, Some(act)), (SETTLED, moves(1, 0, 7)), "and then not at once");
    assert_eq!(Balance::default().next(&threads(0.46)), moves(1, 0, 13), "at once to one with far less");
}

#[test]
fn another_thread_with_too_much_to_do_is_helped_meanwhile() {
    let mut balance = Balance::default();
    let three = |third| [TWO[0], TWO[1], third];
    assert!(first_act(&mut balance, &three(work(0.8, 9)), 100).is_some());
    let alone = |third| [one(99e6)[0], one(99e6)[1], third];
    assert_eq!(first_act(&mut balance, &alone(work(0.8, 9)), 20), None);
    assert_eq!(balance.next(&alone(work(0.95, 10))), moves(2, 0, 5));
}
