//! Tests of the clock in virtual time: who is asked after whom, and how far anyone may move it.

use super::*;

const NS: i64 = 1_000_000_000;
/// A day after the first date that is believed.
const DATE_NS: i64 = (limit::BUILD_DATE_S + 86_400) * NS;
const ONE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// What it is told is right, and what it is asked is written down.
struct Stage {
    now: Duration,
    /// What our clock is behind by, in seconds, as each says.
    hypervisor: Result<i64, Refusal>,
    servers: Vec<(Ipv4Addr, Result<i64, Refusal>)>,
    made: Vec<Move>,
}

fn sample(behind: Result<i64, Refusal>) -> Result<Sample, Refusal> {
    Ok(Sample { offset_ns: behind? * NS, round_trip_ns: 1_000_000 })
}

impl World for Stage {
    fn now(&self) -> Duration {
        self.now
    }

    fn date_ns(&self) -> i64 {
        DATE_NS
    }

    fn hypervisor(&mut self, _clock: &OwnedFd) -> Result<Sample, Refusal> {
        sample(self.hypervisor)
    }

    fn server(&mut self, server: Ipv4Addr) -> Result<Sample, Refusal> {
        let found = self.servers.iter().find(|one| one.0 == server);
        sample(found.map_or(Err(Refusal::Silent), |one| one.1))
    }

    fn make(&mut self, change: Move) -> Result<(), Refusal> {
        self.made.push(change);
        Ok(())
    }
}

fn keeper(
    has_hypervisor: bool,
    hypervisor: Result<i64, Refusal>,
    server: Result<i64, Refusal>,
) -> TimeKeeper<Stage> {
    let servers = vec![(ONE, Err(Refusal::Silent)), (OTHER, server)];
    let stage = Stage { now: Duration::ZERO, hypervisor, servers, made: Vec::new() };
    let clock = has_hypervisor.then(|| std::fs::File::open("/dev/null").unwrap().into());
    TimeKeeper::new(stage, clock, vec![ONE, OTHER], false)
}

/// What is said at the next time that something is due.
fn next(keeper: &mut TimeKeeper<Stage>) -> Vec<News> {
    keeper.world.now = keeper.due(true);
    keeper.tick(true)
}

fn refused(source: Source, refusal: Refusal) -> News {
    News::ClockRefused { source, refusal }
}

#[test]
fn a_hypervisors_clock_that_fails_is_replaced_by_servers_in_turn() {
    for wrong in [Err(Refusal::Silent), Ok(-20 * 365 * 86_400)] {
        let mut keeper = keeper(true, wrong, Ok(5));
        let why = wrong.err().unwrap_or(Refusal::BeforeBuild);
        let first =
            [refused(Source::Hypervisor, why), refused(Source::Server(ONE), Refusal::Silent)];
        assert_eq!(next(&mut keeper), first);
        assert_eq!(keeper.due(true), limit::CLOCK_RETRY);
        let second = next(&mut keeper);
        assert_eq!(second[0], first[0]);
        assert!(matches!(
            second[1],
            News::Clock { source: Source::Server(OTHER), moved_ms: 5_000, .. }
        ));
        assert_eq!(keeper.world.made, [Move::Set(DATE_NS + 5 * NS)]);
    }
    // One that is right is enough; without an address only it is asked.
    let mut keeper = keeper(true, Ok(0), Ok(5));
    assert!(matches!(next(&mut keeper)[..], [News::Clock { source: Source::Hypervisor, .. }]));
    assert_eq!(keeper.due(true), limit::CLOCK_INTERVAL);
}

#[test]
fn without_an_address_no_server_is_asked_and_with_one_it_is_at_once() {
    let mut keeper = keeper(true, Err(Refusal::Silent), Ok(5));
    assert_eq!(keeper.tick(false), [refused(Source::Hypervisor, Refusal::Silent)]);
    assert_eq!(keeper.due(true), limit::CLOCK_RETRY);
    keeper.learn(&[]);
    assert_eq!(keeper.due(true), Duration::ZERO);
    assert_eq!(keeper.tick(true).len(), 2);
}

#[test]
fn what_servers_move_a_running_clock_by_is_bounded_in_sum() {
    let step = 400;
    let mut keeper = keeper(false, Ok(0), Ok(step));
    keeper.next = 1;
    // The first sets it, and is not counted: nobody went by it yet.
    assert!(matches!(next(&mut keeper)[..], [News::Clock { .. }]));
    for _ in 0..limit::STEP_MAX_RUNNING.as_secs() / 400 {
        assert!(matches!(next(&mut keeper)[..], [News::Clock { moved_ms: 400_000, .. }]));
    }
    let too_far = [refused(Source::Server(OTHER), Refusal::TooFar)];
    assert_eq!(next(&mut keeper), too_far);
    let made = keeper.world.made.len();
    // It is the same way back, and the next look.
    keeper.world.servers[1].1 = Ok(-step);
    assert_eq!(next(&mut keeper), too_far);
    assert_eq!(keeper.world.made.len(), made);
    keeper.world.now += limit::STEP_WINDOW;
    assert!(matches!(keeper.tick(true)[..], [News::Clock { .. }]), "another day");
}

#[test]
fn a_role_that_was_started_again_does_not_set_a_date_anew() {
    let mut keeper = keeper(false, Ok(0), Ok(86_400));
    (keeper.next, keeper.is_set) = (1, true);
    assert_eq!(next(&mut keeper), [refused(Source::Server(OTHER), Refusal::TooFar)]);
    assert_eq!(keeper.world.made, []);
}

#[test]
fn the_hypervisor_gives_a_machine_that_stood_still_its_time_back() {
    let mut keeper = keeper(true, Ok(3 * 86_400), Err(Refusal::Silent));
    keeper.is_set = true;
    assert!(matches!(next(&mut keeper)[..], [News::Clock { source: Source::Hypervisor, .. }]));
    assert_eq!(keeper.world.made, [Move::Set(DATE_NS + 3 * 86_400 * NS)]);
}
