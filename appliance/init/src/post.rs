//! One role's post: what it is handed, how it is started, and when it is started again.
//!
//! It opens nothing and decides nothing about other roles.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::SeekFrom;
use rustix::io::FdFlags;
use tokio::process::{Child, Command};
use tokio::sync::mpsc::UnboundedSender;
use ward_edge::clock::Clock;
use ward_policy::audit::Role;
use ward_policy::cell::Target;
use ward_policy::certificate::CertificateSource;
use ward_policy::limit;

use crate::followed::Followed;
use crate::link::{Link, pair};

/// Where a role's program is.
#[derive(Clone, Debug)]
pub(crate) enum Program {
    /// The running file, which plays every role.
    Itself,
    /// The server's own file; the broker's is beside it.
    Files(PathBuf),
}

/// What the supervisor is told.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Started {
    Yes { which: Role, pid: u32, starts: u64 },
    Over { which: Role, status: u8, signal: u8 },
}

/// A post that is not filled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) role: Role,
    pub(crate) status: u8,
}

impl End {
    /// The supervisor's own machinery failed.
    pub(crate) const fn broken(role: Role) -> Self {
        Self { role, status: UNEXPECTED }
    }
}

/// The exit status when a role ended in a way that has no status of its own.
const UNEXPECTED: u8 = 70;

/// One role's post.
pub(crate) struct Post {
    pub(crate) role: Role,
    program: Program,
    target: Target,
    hands: Vec<(String, OwnedFd)>,
    /// Documents of it that may be replaced, by name.
    pub(crate) follows: Vec<(&'static str, Followed)>,
    /// A server's channels to its helpers, by name.
    pub(crate) links: Vec<(String, Link)>,
    /// A helper's channels to those whom it helps.
    pub(crate) helps: Vec<(String, Link)>,
    /// Where a server's certificate comes from.
    pub(crate) certificate: Option<CertificateSource>,
    /// How many channels a helper will have at once; 0 when it need not know.
    pub(crate) workers: usize,
    starts: u64,
    back_off: BackOff,
    budget: Budget,
}

impl Post {
    pub(crate) const fn new(role: Role, program: Program, target: Target) -> Self {
        Self {
            role,
            program,
            target,
            hands: Vec::new(),
            follows: Vec::new(),
            links: Vec::new(),
            helps: Vec::new(),
            certificate: None,
            workers: 0,
            starts: 0,
            back_off: BackOff::of(target),
            budget: Budget::of(target),
        }
    }

    pub(crate) fn hand(&mut self, name: &str, descriptor: OwnedFd) {
        self.hands.push((name.to_owned(), descriptor));
    }

    /// Starts the role, and starts it again whenever it ends, until that is for good.
    pub(crate) async fn keep(
        mut self,
        news: UnboundedSender<Started>,
        stopping: Arc<AtomicBool>,
    ) -> End {
        let clock = Clock::start();
        let which = self.role;
        loop {
            let began = clock.now();
            self.starts = self.starts.saturating_add(1);
            let status = match self.start() {
                Ok(mut child) => {
                    let (pid, starts) = (child.id().unwrap_or(0), self.starts);
                    // Whoever is told lives as long as this.
                    news.send(Started::Yes { which, pid, starts }).unwrap_or_default();
                    child.wait().await.unwrap_or_default()
                }
                Err(_refused) => ExitStatus::from_raw(i32::from(SYSTEM) << 8),
            };
            let (code, signal) = (byte(status.code()), byte(status.signal()));
            news.send(Started::Over { which, status: code, signal }).unwrap_or_default();
            let lived = clock.now().saturating_sub(began);
            let is_stopping = stopping.load(Ordering::Acquire);
            let is_over = self.back_off.is_over(which, status, lived, is_stopping);
            let is_spent = !is_stopping && self.budget.is_spent(clock.now());
            if let Some(status) = is_over.or_else(|| is_spent.then_some(SPENT)) {
                return End { role: which, status };
            }
            tokio::time::sleep(self.back_off.delay).await;
            if stopping.load(Ordering::Acquire) && is_server(which) {
                return End { role: which, status: 0 };
            }
        }
    }

    fn start(&self) -> std::io::Result<Child> {
        let mut command = self.command();
        // What is inherited could be a terminal or a file; a role has its log and nothing else to write to.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // A terminal's Ctrl-C reaches the launcher only, which passes one signal on.
        command.env_clear().process_group(0);
        // The log outlives everyone else, for their last words.
        if self.role != Role::Log {
            command.kill_on_drop(true).arg(format!("launcher={}", std::process::id()));
        }
        command.arg(format!("target={}", self.target.name()));
        if let Some(certificate) = self.certificate {
            command.arg(format!("certificate={}", certificate.name()));
        }
        if self.workers > 0 {
            command.arg(format!("workers={}", self.workers));
        }
        let fresh = self.fresh()?;
        let kept = self.hands.iter();
        let all: Vec<&(String, OwnedFd)> = kept.chain(&fresh).collect();
        for (name, descriptor) in &all {
            command.arg(format!("{name}={}", descriptor.as_raw_fd()));
            // A predecessor may have read it; what cannot be wound back is no document.
            rustix::fs::seek(descriptor, SeekFrom::Start(0)).map(drop).unwrap_or_default();
            rustix::io::fcntl_setfd(descriptor, FdFlags::empty())?;
        }
        let child = command.spawn();
        for (_, descriptor) in &all {
            rustix::io::fcntl_setfd(descriptor, FdFlags::CLOEXEC)?;
        }
        child
    }

    /// Descriptors that are made for this start alone.
    fn fresh(&self) -> std::io::Result<Vec<(String, OwnedFd)>> {
        let mut fresh = Vec::new();
        for (name, followed) in &self.follows {
            fresh.push(((*name).to_owned(), followed.open()?));
        }
        for (name, link) in &self.links {
            fresh.extend(link.for_server()?.into_iter().map(|end| (name.clone(), end)));
        }
        if !self.helps.is_empty() {
            let (ours, control) = pair()?;
            fresh.push(("control".to_owned(), control));
            for (name, link) in &self.helps {
                let ends = link.for_helper(ours.try_clone()?)?;
                fresh.extend(ends.into_iter().map(|end| (name.clone(), end)));
            }
        }
        Ok(fresh)
    }

    fn command(&self) -> Command {
        let name = program_of(self.role);
        let serve = self.role.name();
        let mut command = match &self.program {
            Program::Itself => {
                // The running file itself, even if its name has been given to another since.
                let mut command = Command::new("/proc/self/exe");
                command.arg(format!("serve-{serve}"));
                command
            }
            Program::Files(server) if is_server(self.role) => Command::new(server),
            // The supervisor's own file plays these: on the image it has no name beside the servers.
            Program::Files(_) if name == "ward-init" => {
                let mut command = Command::new("/proc/self/exe");
                command.arg(serve);
                command
            }
            Program::Files(server) => Command::new(server.with_file_name(name)),
        };
        command.arg0(name);
        command
    }
}

/// The name of the program that plays `role`.
const fn program_of(role: Role) -> &'static str {
    match role {
        Role::Init | Role::Net | Role::Log | Role::Sign => "ward-init",
        Role::Broker => "ward-broker",
        Role::Media => "ward-media",
        Role::Twiml => "ward-twiml",
    }
}

const fn is_server(role: Role) -> bool {
    matches!(role, Role::Media | Role::Twiml)
}

fn byte(number: Option<i32>) -> u8 {
    number.and_then(|number| u8::try_from(number).ok()).unwrap_or(0)
}

/// The exit status for "the operating system refused": [`ward_edge::start::StartError::System`].
const SYSTEM: u8 = ward_edge::start::StartError::System as u8;

/// The exit status when a role ended more often than a machine can be trusted with; `sysexits.h`: unavailable.
pub(crate) const SPENT: u8 = 69;

/// How often a role may end in a while.
///
/// Only on the image: there whoever started us can start the whole machine afresh, and what ends that often may be somebody
/// guessing at an address.
struct Budget {
    is_limited: bool,
    /// The first end of this while, and how many there were.
    since: Duration,
    ends: u32,
}

impl Budget {
    const fn of(target: Target) -> Self {
        Self { is_limited: matches!(target, Target::Image), since: Duration::ZERO, ends: 0 }
    }

    /// Counts one end at `now`; whether it is one too many.
    fn is_spent(&mut self, now: Duration) -> bool {
        if now.saturating_sub(self.since) >= limit::RESTARTS_WINDOW {
            (self.since, self.ends) = (now, 0);
        }
        self.ends = self.ends.saturating_add(1);
        self.is_limited && self.ends > limit::RESTARTS_MAX
    }
}

/// When a role is started again, and when it is not worth it.
struct BackOff {
    delay: Duration,
    failed_starts: u32,
    /// Whether it has ever been there for a while: until then, something is wrong with the machine or with us.
    has_lived: bool,
    /// How long that is.
    started_after: Duration,
}

impl BackOff {
    const NEW: Self = Self {
        delay: limit::RESTART_DELAY_MIN,
        failed_starts: 0,
        has_lived: false,
        started_after: limit::ROLE_STARTED_AFTER,
    };

    const fn of(target: Target) -> Self {
        let started_after = match target {
            Target::Image => limit::ROLE_STARTED_AFTER_ON_IMAGE,
            Target::Laptop
            | Target::LaptopRoot
            | Target::Container
            | Target::RestrictedContainer => limit::ROLE_STARTED_AFTER,
        };
        Self { started_after, ..Self::NEW }
    }

    /// The exit status of the whole when the post is not to be filled again; otherwise sets the delay.
    fn is_over(
        &mut self,
        role: Role,
        status: ExitStatus,
        lived: Duration,
        is_stopping: bool,
    ) -> Option<u8> {
        let code = byte(status.code());
        let is_last = role == Role::Log && status.success();
        if is_stopping && (is_server(role) || is_last) {
            // A server ends so when it was told to; the log when nobody is left to write.
            return Some(if status.success() { 0 } else { UNEXPECTED });
        }
        self.has_lived |= lived >= self.started_after;
        if !self.has_lived {
            // What it was handed is wrong, and will be the next time. Only the operating system may think better
            // of it. One that has served says so only if it was taken over, and is started again like any other.
            if matches!(status.code(), Some(64..=66 | 68)) {
                return Some(code);
            }
            self.failed_starts = self.failed_starts.saturating_add(1);
            if self.failed_starts >= limit::FAILED_STARTS_MAX {
                return Some(if code == 0 { UNEXPECTED } else { code });
            }
        }
        let is_settled = lived >= limit::RESTART_SETTLED_AFTER;
        self.delay = if is_settled {
            limit::RESTART_DELAY_MIN
        } else {
            self.delay.saturating_mul(2).min(limit::RESTART_DELAY_MAX)
        };
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exit(code: i32) -> ExitStatus {
        ExitStatus::from_raw(code << 8)
    }

    fn killed() -> ExitStatus {
        ExitStatus::from_raw(9)
    }

    fn lived() -> BackOff {
        BackOff { has_lived: true, ..BackOff::NEW }
    }

    #[test]
    fn what_is_wrong_from_the_beginning_is_not_tried_again() {
        for status in [64, 65, 66, 68] {
            let mut back_off = BackOff::NEW;
            let over = back_off.is_over(Role::Sign, exit(status), Duration::ZERO, false);
            assert_eq!(over.map(i32::from), Some(status));
        }
    }

    #[test]
    fn on_a_slow_machine_settings_that_are_wrong_are_said_to_be() {
        let second = Duration::from_secs(1);
        let mut back_off = BackOff::of(Target::Image);
        assert_eq!(back_off.is_over(Role::Media, exit(65), second, false), Some(65));
        let mut back_off = BackOff::of(Target::Container);
        assert_eq!(back_off.is_over(Role::Media, exit(65), second, false), None);
    }

    #[test]
    fn what_has_served_is_started_again_whatever_it_ends_with() {
        for role in [Role::Media, Role::Sign, Role::Broker, Role::Log] {
            for status in [exit(0), exit(64), exit(66), exit(67), exit(68), exit(1), killed()] {
                let mut back_off = lived();
                for _ in 0..100 {
                    let over = back_off.is_over(role, status, Duration::ZERO, false);
                    assert_eq!(over, None, "{role:?} {status:?}");
                }
            }
        }
    }

    #[test]
    fn while_all_ends_a_server_is_not_started_again_and_a_helper_is() {
        for (role, status, expected) in [
            (Role::Media, exit(0), Some(0)),
            (Role::Twiml, killed(), Some(UNEXPECTED)),
            (Role::Log, exit(0), Some(0)),
            (Role::Sign, killed(), None),
            (Role::Broker, exit(0), None),
        ] {
            assert_eq!(lived().is_over(role, status, Duration::ZERO, true), expected, "{role:?}");
        }
    }

    #[test]
    fn a_start_that_fails_is_tried_a_few_times_and_no_more() {
        for (status, expected) in
            [(exit(67), SYSTEM), (killed(), UNEXPECTED), (exit(0), UNEXPECTED)]
        {
            let mut back_off = BackOff::NEW;
            let mut tries = 1;
            let over = loop {
                match back_off.is_over(Role::Media, status, Duration::ZERO, false) {
                    Some(over) => break over,
                    None => tries += 1,
                }
            };
            assert_eq!((tries, over), (limit::FAILED_STARTS_MAX, expected), "{status:?}");
        }
    }

    #[test]
    fn on_the_image_a_role_may_end_so_often_in_a_while_and_no_more() {
        let mut budget = Budget::of(Target::Image);
        for second in 0..limit::RESTARTS_MAX {
            assert!(!budget.is_spent(Duration::from_secs(second.into())), "{second}");
        }
        assert!(budget.is_spent(Duration::from_secs(30)));
        // After a while it begins anew.
        assert!(!budget.is_spent(Duration::from_secs(30).saturating_add(limit::RESTARTS_WINDOW)));
        let mut elsewhere = Budget::of(Target::Laptop);
        for _ in 0..1_000 {
            assert!(!elsewhere.is_spent(Duration::ZERO));
        }
    }

    #[test]
    fn delays_grow_to_their_maximum_and_begin_anew_after_a_while() {
        let mut back_off = lived();
        for _ in 0..20 {
            assert_eq!(back_off.is_over(Role::Media, killed(), Duration::ZERO, false), None);
        }
        assert_eq!(back_off.delay, limit::RESTART_DELAY_MAX);
        back_off.is_over(Role::Media, killed(), limit::RESTART_SETTLED_AFTER, false);
        assert_eq!(back_off.delay, limit::RESTART_DELAY_MIN);
    }
}
