//! Every line that PID 1 can write to the console, by its code. What each means and what to do is in `docs/console.md`.
//!
//! A code never changes its meaning and is never used again. Values beside it are numbers, addresses and words of closed lists.

/// A line's code and its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    /// `INIT-` and four digits.
    pub id: &'static str,
    /// What happened, in a word.
    pub event: &'static str,
}

macro_rules! codes {
    ($($name:ident = $id:literal, $event:literal, $about:literal;)+) => {
        $(#[doc = $about] pub const $name: Code = Code { id: $id, event: $event };)+
        /// Every code.
        pub const ALL: &[Code] = &[$($name),+];
    };
}

codes! {
    BOOT = "INIT-0100", "boot", "The kernel has handed over.";
    MOUNTED = "INIT-0101", "mounted", "The file systems of the kernel are there, and the root is read-only.";
    MOUNT_REFUSED = "INIT-0102", "mount_refused", "One of them is not.";
    SYSTEM_REFUSED = "INIT-0103", "system_refused", "The kernel refused PID 1 something that it cannot do without.";
    CHECKED = "INIT-0200", "checked", "The kernel is the one that was built, with every setting as it must be.";
    COMMAND_LINE = "INIT-0201", "command_line", "The kernel's command line is not the one that was compiled in.";
    LOCKDOWN = "INIT-0202", "lockdown", "The kernel is not locked down.";
    LANDLOCK = "INIT-0203", "landlock", "The kernel's Landlock is too old, or not there.";
    EXECUTABLE_MEMORY = "INIT-0204", "executable_memory", "Memory that was written can become code.";
    SECRET_MEMORY = "INIT-0205", "secret_memory", "There is no memory for secrets.";
    SYSCTL = "INIT-0206", "sysctl", "A setting of the kernel did not become what it must be.";
    SYSCTL_ABSENT = "INIT-0207", "sysctl_absent", "A setting of the kernel that must be there is not.";
    TAINTED = "INIT-0208", "tainted", "The kernel has found fault with itself already.";
    MODULES = "INIT-0209", "modules", "The kernel can be changed while it runs.";
    SEEDED = "INIT-0300", "seeded", "The kernel's random numbers can be relied on.";
    UNSEEDED = "INIT-0301", "unseeded", "They cannot, after a long wait.";
    CONFIGURED = "INIT-0400", "configured", "A configuration was found and is by the book.";
    CONFIG_ABSENT = "INIT-0401", "config_absent", "No configuration was found.";
    CONFIG_PROBLEM = "INIT-0402", "config_problem", "Something in the configuration is wrong.";
    CONFIG_UNREADABLE = "INIT-0403", "config_unreadable", "The configuration is too long or no text.";
    SECRET_REFUSED = "INIT-0404", "secret_refused", "Secrets came over a way that is the lab's, on a machine that is not known to be one's.";
    SECRET_UNKNOWN = "INIT-0405", "secret_unknown", "A secret came that nobody needs.";
    SECRET_MISSING = "INIT-0406", "secret_missing", "A secret did not come without which the role cannot start.";
    DISK = "INIT-0407", "disk", "A disk was looked at, and there was no configuration on it.";
    REGISTRY = "INIT-0408", "registry", "The registry that is compiled in has no entry that a setting names.";
    LINK_ABSENT = "INIT-0500", "link_absent", "The machine has no network card that is known.";
    ASKING = "INIT-0501", "asking", "The network role is in its cell and asks for an address.";
    LINK = "INIT-0502", "link", "Something is at the other end of the wire, or not any more.";
    ADDRESS = "INIT-0503", "address", "The machine has an address, or has it for longer.";
    ADDRESS_LOST = "INIT-0504", "address_lost", "The address is given up.";
    ANSWER_REFUSED = "INIT-0505", "answer_refused", "An answer of a DHCP server's was not followed.";
    ORDER_REFUSED = "INIT-0506", "order_refused", "The kernel did not take an address or a route.";
    NETWORK_LATE = "INIT-0507", "network_late", "There is no address after a long wait.";
    NETWORK_CELL = "INIT-0508", "network_cell", "A layer of the network role's cell is not there.";
    NEWS_REFUSED = "INIT-0509", "news_refused", "The network role said something that is no record.";
    NAME_SERVERS = "INIT-0510", "name_servers", "The lease names other name servers than the broker has.";
    CLOCK = "INIT-0600", "clock", "The clock was looked at, and moved if it was wrong.";
    CLOCK_REFUSED = "INIT-0601", "clock_refused", "What a clock said was not followed.";
    CLOCK_UNCONFIRMED = "INIT-0602", "clock_unconfirmed", "Nobody has confirmed the machine's own date, which is a possible one.";
    CLOCK_IMPOSSIBLE = "INIT-0603", "clock_impossible", "The machine's own date is impossible, and nobody has told another.";
    LISTENING = "INIT-0700", "listening", "The port is open; connections wait until the server takes them.";
    LISTEN_REFUSED = "INIT-0701", "listen_refused", "The port could not be opened.";
    STARTED = "INIT-0800", "started", "The supervisor runs, and starts the cells.";
    READY = "INIT-0801", "ready", "The server accepts handshakes.";
    START_REFUSED = "INIT-0802", "start_refused", "The cells cannot start with what they were given.";
    READY_LATE = "INIT-0803", "ready_late", "The server does not serve after a long wait.";
    ENDED = "INIT-0804", "ended", "The supervisor has ended, and everything it kept with it.";
    NETWORK_ENDED = "INIT-0805", "network_ended", "The network role has ended and is started again.";
    BUDGET = "INIT-0806", "budget", "Something ended too often in a short while.";
    WATCHDOG = "INIT-0900", "watchdog", "A watchdog starts the machine again should PID 1 fall silent, or there is none.";
    POWER_BUTTON = "INIT-0901", "power_button", "The power button was pressed, or the cloud did so.";
    DRAINING = "INIT-0902", "draining", "New calls are turned away, and those that live go on.";
    DRAINED = "INIT-0903", "drained", "The last call has ended.";
    POWER_OFF = "INIT-0910", "power_off", "The machine goes off now.";
    RESTART = "INIT-0911", "restart", "The machine starts again.";
    BUG = "INIT-0999", "bug", "PID 1 has made a mistake, and the kernel ends it.";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_in_order_and_stand_once() {
        let ids: Vec<&str> = ALL.iter().map(|code| code.id).collect();
        assert!(ids.is_sorted() && ids.iter().collect::<BTreeSet<_>>().len() == ids.len());
        let events: BTreeSet<&str> = ALL.iter().map(|code| code.event).collect();
        assert_eq!(events.len(), ALL.len());
        for code in ALL {
            let digits = code.id.strip_prefix("INIT-").unwrap();
            assert!(digits.len() == 4 && digits.bytes().all(|digit| digit.is_ascii_digit()));
        }
    }
}
