//! `Phi<T>` and `Secret<T>`: values that cannot be printed, copied or left behind.
//!
//! Neither type has Debug, Display, Serialize or Clone, and both wipe their value when dropped. The
//! only way in is `new`, the only way out is `expose`, so a reviewer can search for that one word.
//! They never hide a value from code that was handed it: that is the sandbox's work.

use zeroize::Zeroize;

/// Protected health information: what a caller said, pressed or is called from.
#[expect(missing_debug_implementations, reason = "it must never be printed")]
pub struct Phi<T: Zeroize>(T);

/// A credential: a token, a key, an expected signature.
#[expect(missing_debug_implementations, reason = "it must never be printed")]
pub struct Secret<T: Zeroize>(T);

macro_rules! guarded {
    ($name:ident) => {
        impl<T: Zeroize> $name<T> {
            /// Takes charge of `value`.
            pub const fn new(value: T) -> Self {
                Self(value)
            }

            /// The value, for the one step that needs it.
            pub const fn expose(&self) -> &T {
                &self.0
            }

            /// The value, to be changed in place.
            pub const fn expose_mut(&mut self) -> &mut T {
                &mut self.0
            }
        }

        impl<T: Zeroize> Drop for $name<T> {
            fn drop(&mut self) {
                self.0.zeroize();
            }
        }
    };
}

guarded!(Phi);
guarded!(Secret);

/// `Phi` and `Secret` must not gain the traits that would let a value out:
///
/// ```compile_fail
/// fn print<T: std::fmt::Debug>(_: T) {}
/// print(ward_policy::phi::Phi::new(String::new()));
/// ```
/// ```compile_fail
/// fn show<T: std::fmt::Display>(_: T) {}
/// show(ward_policy::phi::Secret::new(String::new()));
/// ```
/// ```compile_fail
/// fn copy<T: Clone>(_: T) {}
/// copy(ward_policy::phi::Phi::new(String::new()));
/// ```
/// The same calls compile for an ordinary value, so the refusals above are the types' own:
/// ```
/// fn all<T: std::fmt::Debug + std::fmt::Display + Clone>(_: T) {}
/// all(String::new());
/// ```
#[expect(dead_code, reason = "carries the documentation tests above")]
struct Closed;

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    struct Witness(Rc<RefCell<u32>>);

    impl Zeroize for Witness {
        fn zeroize(&mut self) {
            *self.0.borrow_mut() += 1;
        }
    }

    #[test]
    fn dropping_wipes_exactly_once() {
        let wiped = Rc::new(RefCell::new(0));
        drop(Phi::new(Witness(Rc::clone(&wiped))));
        assert_eq!(*wiped.borrow(), 1);
        drop(Secret::new(Witness(Rc::clone(&wiped))));
        assert_eq!(*wiped.borrow(), 2);
    }

    #[test]
    fn the_value_can_be_exposed_and_changed() {
        let mut digits = Phi::new(vec![b'4']);
        digits.expose_mut().push(b'2');
        assert_eq!(digits.expose(), b"42");
    }
}
