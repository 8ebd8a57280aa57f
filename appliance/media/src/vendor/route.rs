//! Who is tried next when a vendor fails: the same once more, then each of the others once.
//!
//! It opens nothing and waits for nothing.

use ward_policy::fault::{DialFault, ServiceFault};

use super::Wanted;

/// The vendors of one service, and which of them is tried.
pub(super) struct Route {
    /// The preferred one first.
    all: Vec<Wanted>,
    place: usize,
    /// How many others may still be tried.
    others: usize,
    may_try_again: bool,
}

impl Route {
    /// A way that begins with the first of `all`.
    pub(super) const fn new(all: Vec<Wanted>) -> Self {
        Self { all, place: 0, others: 0, may_try_again: false }
    }

    /// Who is tried now; nobody when there is no vendor at all.
    pub(super) fn current(&self) -> Option<Wanted> {
        self.all.get(self.place).copied()
    }

    /// Something new is to be done, so everybody may be tried again, whoever did the last thing first.
    pub(super) const fn begin(&mut self) {
        self.others = self.all.len().saturating_sub(1);
        self.may_try_again = true;
    }

    /// Goes on to whoever is tried after a `fault`; `false` when nobody is left.
    pub(super) const fn go_on(&mut self, fault: ServiceFault) -> bool {
        if self.may_try_again && is_passing(fault) {
            self.may_try_again = false;
            return true;
        }
        self.may_try_again = false;
        let Some(others) = self.others.checked_sub(1) else {
            self.place = 0;
            return false;
        };
        self.others = others;
        let next = self.place.saturating_add(1);
        self.place = if next < self.all.len() { next } else { 0 };
        true
    }
}

/// Whether it may be gone on a fresh connection. One that was late is not: the caller has waited once.
const fn is_passing(fault: ServiceFault) -> bool {
    matches!(
        fault,
        ServiceFault::Unreachable
            | ServiceFault::Closed
            | ServiceFault::Broken
            | ServiceFault::Over
    )
}

/// What a connection that could not be had means for its service.
pub(super) const fn fault_of(reason: DialFault) -> ServiceFault {
    match reason {
        DialFault::BaaExpired | DialFault::ReviewOverdue => ServiceFault::Over,
        _ => ServiceFault::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ward_policy::data_class::DataClass;
    use ward_policy::vendor_id::VendorId;

    fn tried(count: usize, fault: ServiceFault) -> String {
        let ids = ["a", "b", "c"];
        let wanted =
            |id: &&str| Wanted { vendor: VendorId::parse(id).unwrap(), class: DataClass::Audio };
        let mut route = Route::new(ids.iter().take(count).map(wanted).collect());
        route.begin();
        let mut tried = String::new();
        loop {
            tried.push_str(
                route
                    .current()
                    .map_or_else(|| "-".to_owned(), |one| one.vendor.as_str().to_owned())
                    .as_str(),
            );
            if !route.go_on(fault) {
                return tried;
            }
        }
    }

    #[test]
    fn a_passing_fault_is_tried_again_once_and_then_each_of_the_others_once() {
        assert_eq!(tried(1, ServiceFault::Closed), "aa");
        assert_eq!(tried(3, ServiceFault::Closed), "aabc");
        assert_eq!(tried(1, ServiceFault::Late), "a");
        assert_eq!(tried(3, ServiceFault::Quota), "abc");
        assert_eq!(tried(0, ServiceFault::Unauthorized), "-");
    }

    #[test]
    fn whoever_did_the_last_thing_is_asked_first() {
        let wanted = |id| Wanted { vendor: VendorId::parse(id).unwrap(), class: DataClass::Audio };
        let mut route = Route::new(vec![wanted("a"), wanted("b")]);
        route.begin();
        assert!(route.go_on(ServiceFault::Quota));
        route.begin();
        assert_eq!(route.current(), Some(wanted("b")));
        assert!(route.go_on(ServiceFault::Quota));
        assert_eq!(route.current(), Some(wanted("a")));
        assert!(!route.go_on(ServiceFault::Quota));
    }
}
