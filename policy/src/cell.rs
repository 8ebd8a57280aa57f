//! What confines a process, and which of it must be there on which kind of machine.
//!
//! A cell is a process with its layers on. This module says what is demanded; `ward-edge` applies it and
//! `ward-sys` makes the system calls. It never asks the machine what it can do.

use crate::audit::Role;

/// One barrier around a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layer {
    /// Every descriptor that was not handed down is closed.
    Descriptors,
    /// Resource limits: descriptors, locked memory, no core file, no file growth.
    Limits,
    /// Mount, network, IPC, host-name and cgroup namespaces of its own; without root, a user namespace. Who dials keeps the
    /// network; the image's kernel has nothing that an IPC namespace would part.
    Namespaces,
    /// An empty, read-only root directory.
    EmptyRoot,
    /// A user and group of its own, with no others.
    Identity,
    /// Every capability dropped, from the bounding set too.
    Capabilities,
    /// Nothing that is executed can gain privileges.
    NoNewPrivileges,
    /// No core dump, and no look inside from a process of the same user.
    NotDumpable,
    /// Memory that was writable never becomes executable.
    NoExecutableGain,
    /// Landlock: no path, no TCP bind or connect, no signal and no abstract socket outside. The role that
    /// dials may connect to the ports that it needs.
    Landlock,
    /// The system-call filter.
    Seccomp,
}

impl Layer {
    /// Every layer, in the order in which they are put on.
    pub const ALL: [Self; 11] = [
        Self::Descriptors,
        Self::Limits,
        Self::Namespaces,
        Self::EmptyRoot,
        Self::Identity,
        Self::Capabilities,
        Self::NoNewPrivileges,
        Self::NotDumpable,
        Self::NoExecutableGain,
        Self::Landlock,
        Self::Seccomp,
    ];

    /// The word in log lines and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Descriptors => "descriptors",
            Self::Limits => "limits",
            Self::Namespaces => "namespaces",
            Self::EmptyRoot => "empty_root",
            Self::Identity => "identity",
            Self::Capabilities => "capabilities",
            Self::NoNewPrivileges => "no_new_privileges",
            Self::NotDumpable => "not_dumpable",
            Self::NoExecutableGain => "no_executable_gain",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
        }
    }
}

/// The kind of machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// A Linux machine, not as root.
    Laptop,
    /// A Linux machine, as root.
    LaptopRoot,
    /// A container with root that may make namespaces.
    Container,
    /// A container that may make none: the platform's own walls stand in their place.
    RestrictedContainer,
    /// Ward's own image.
    Image,
}

impl Target {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::Laptop, Self::LaptopRoot, Self::Container, Self::RestrictedContainer, Self::Image];

    /// The word on command lines and in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Laptop => "laptop",
            Self::LaptopRoot => "laptop-root",
            Self::Container => "container",
            Self::RestrictedContainer => "restricted-container",
            Self::Image => "image",
        }
    }

    /// The kind called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// Whether a role can be given a user of its own.
    #[must_use]
    pub const fn has_root(self) -> bool {
        matches!(self, Self::LaptopRoot | Self::Container | Self::Image)
    }
}

/// What a target asks of a layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Demand {
    /// Without it the process does not start.
    Required,
    /// Applied where the kernel has it; a kernel that has it and refuses stops the start.
    Wanted,
    /// Not asked for: the target has another wall there, or cannot have this one.
    Absent,
}

/// What came of a layer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is on.
    Applied,
    /// The target does not ask for it.
    AbsentByDesign,
    /// The kernel does not have it.
    Unsupported,
    /// The kernel has it and said no.
    Refused,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 4] =
        [Self::Applied, Self::AbsentByDesign, Self::Unsupported, Self::Refused];

    /// The word in log lines and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::AbsentByDesign => "absent_by_design",
            Self::Unsupported => "unsupported",
            Self::Refused => "refused",
        }
    }

    /// Whether a process with this outcome may start.
    #[must_use]
    pub const fn satisfies(self, demand: Demand) -> bool {
        match demand {
            Demand::Required => matches!(self, Self::Applied),
            Demand::Wanted => matches!(self, Self::Applied | Self::Unsupported),
            Demand::Absent => matches!(self, Self::AbsentByDesign),
        }
    }
}

/// The table: what `target` asks of `layer`.
#[must_use]
pub const fn demand(target: Target, layer: Layer) -> Demand {
    match (layer, target) {
        // A restricted container refuses namespaces to everyone in it; its platform isolates instead.
        (Layer::Namespaces | Layer::EmptyRoot, Target::RestrictedContainer)
        // Without root there is only one user: the one who started us.
        | (Layer::Identity, Target::Laptop) => Demand::Absent,
        // Some platforms run containers as root and let it change users, others do not.
        (Layer::Identity, Target::RestrictedContainer) => Demand::Wanted,
        // Younger than the kernels of current distributions: MDWE 6.3, Landlock's network rules 6.7 and
        // scopes 6.12. The image brings its own kernel.
        (
            Layer::NoExecutableGain | Layer::Landlock,
            Target::Laptop | Target::LaptopRoot | Target::Container | Target::RestrictedContainer,
        ) => Demand::Wanted,
        _ => Demand::Required,
    }
}

/// The user and group of a role where root can give it one of its own; `init` starts the others as who they
/// are, and so keeps its own.
///
/// Above the ranges that distributions give to people and services (Debian Policy §9.2: up to 64,999),
/// and below those that user namespaces map.
#[must_use]
pub const fn user(role: Role) -> Option<u32> {
    match role {
        Role::Init => None,
        Role::Media => Some(65_110),
        Role::Twiml => Some(65_111),
        Role::Sign => Some(65_112),
        Role::Broker => Some(65_113),
        Role::Log => Some(65_114),
        Role::Net => Some(65_115),
    }
}

/// How early the kernel ends a role when memory ends, from -1,000 (never) to 1,000 (first): what is added to its share of the machine's
/// memory in thousandths (`proc_pid_oom_score_adj(5)`), on the image.
///
/// First whoever grows by what strangers send, then whoever grows by what vendors do. Those that calls live without but nobody comes back
/// without come last, and no role before the one that memory ran out for: they are a hundredth of a machine each, and the steps are larger.
#[must_use]
pub const fn gives_way(role: Role) -> i16 {
    match role {
        Role::Media | Role::Twiml => 800,
        Role::Broker => 600,
        Role::Sign | Role::Net => 200,
        // Without it nobody knows what happened; it holds a bounded number of lines.
        Role::Log => -400,
        // PID 1, which the kernel never ends, and the supervisor, with which everyone ends. What starts is this late, too, until it is in
        // its cell.
        Role::Init => -900,
    }
}

/// Whether a role keeps the machine's network: the one that dials, and the one that brings the machine onto it. Neither ever hears
/// a caller.
#[must_use]
pub const fn has_network(role: Role) -> bool {
    matches!(role, Role::Init | Role::Net | Role::Broker)
}

/// A power of root's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Power {
    /// Addresses, routes and links: `CAP_NET_ADMIN`.
    Network,
    /// The port that DHCP's answers come to: `CAP_NET_BIND_SERVICE`.
    LowPort,
    /// The clock: `CAP_SYS_TIME`.
    Clock,
}

/// What a role keeps of root's powers inside its cell: nothing, but for the one that is there to use them.
#[must_use]
pub const fn powers(role: Role) -> &'static [Power] {
    match role {
        Role::Net => &[Power::Network, Power::LowPort, Power::Clock],
        Role::Init | Role::Log | Role::Sign | Role::Broker | Role::Media | Role::Twiml => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_grows_by_what_strangers_send_gives_way_first_and_the_supervisor_last() {
        let others = [Role::Broker, Role::Sign, Role::Net, Role::Log, Role::Init];
        for server in [Role::Media, Role::Twiml] {
            assert!(others.iter().all(|other| gives_way(*other) < gives_way(server)));
        }
        let all = [Role::Media, Role::Twiml, Role::Broker, Role::Sign, Role::Net, Role::Log];
        for role in all {
            // Each raises what it inherits of PID 1: lowering takes a power that nobody has.
            assert!(
                gives_way(role) > gives_way(Role::Init) && gives_way(role) <= 1_000,
                "{role:?}"
            );
        }
    }

    #[test]
    fn the_image_asks_for_everything_and_no_target_does_without_the_filter() {
        for layer in Layer::ALL {
            assert_eq!(demand(Target::Image, layer), Demand::Required, "{layer:?}");
        }
        for target in Target::ALL {
            for layer in [
                Layer::Descriptors,
                Layer::Limits,
                Layer::Capabilities,
                Layer::NoNewPrivileges,
                Layer::NotDumpable,
                Layer::Seccomp,
            ] {
                assert_eq!(demand(target, layer), Demand::Required, "{target:?} {layer:?}");
            }
            assert_eq!(Target::from_name(target.name()), Some(target));
        }
        assert_eq!(Target::from_name("phone"), None);
    }

    #[test]
    fn what_is_demanded_and_not_there_stops_the_start() {
        use Demand::{Absent, Required, Wanted};
        use Outcome::{AbsentByDesign, Applied, Refused, Unsupported};
        for (outcome, demand, expected) in [
            (Applied, Required, true),
            (Unsupported, Required, false),
            (Refused, Required, false),
            (AbsentByDesign, Required, false),
            (Applied, Wanted, true),
            (Unsupported, Wanted, true),
            (Refused, Wanted, false),
            (AbsentByDesign, Absent, true),
            (Refused, Absent, false),
        ] {
            assert_eq!(outcome.satisfies(demand), expected, "{outcome:?} {demand:?}");
        }
    }

    #[test]
    fn roles_have_users_of_their_own() {
        let mut users: Vec<u32> =
            Role::ALL.into_iter().chain([Role::Net]).filter_map(user).collect();
        users.sort_unstable();
        users.dedup();
        assert_eq!(users.len(), Role::ALL.len());
    }
}
