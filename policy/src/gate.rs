//! The gate: what may be said to and by the language model in one call.
//!
//! **To the model** goes the minimum: names, birth dates, numbers and addresses stand behind placeholders such as
//! `[NAME_1]`; times of appointments go through. An emergency goes to nobody: it takes its own path at once.
//! **From the model** comes one sentence at a time, and it is spoken only when it keeps to the scope and to its length
//! and has no identifier that the caller has not given. The rules are data, in `policy/dialogue/`; what they find and
//! miss is measured in `docs/gate.md`.
//!
//! It knows words and not their meaning: what no rule describes passes. It does no I/O, asks no clock, and takes time
//! linear in a text of bounded length.
#![deny(clippy::indexing_slicing)]

use std::sync::Arc;

use crate::phi::Phi;

pub use dialogue::{BUILT_IN, Dialogue, Emergency, Problem, Then};
pub use slot::SlotClass;

use pattern::{first, standing};
use slot::Asked;
use text::Text;

mod dialogue;
mod memory;
mod outbound;
mod pattern;
mod slot;
mod spoken;
mod text;
#[cfg(test)]
mod tests;

macro_rules! kinds {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal,)+) => {
        /// What kind of emergency was heard.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
        pub enum EmergencyKind { $($(#[$doc])+ $variant,)+ }

        impl EmergencyKind {
            /// Every kind, in the order of the enum.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The stable name in the rules, in log lines and in reports.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The kind called `name`.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.name() == name)
            }
        }
    };
}

kinds! {
    /// Pain or pressure in the chest, a heart that stops or races.
    Chest = "chest",
    /// Breathing that fails, choking.
    Breathing = "breathing",
    /// A face that droops, speech that fails, a side that is numb.
    Stroke = "stroke",
    /// Heavy bleeding.
    Bleeding = "bleeding",
    /// Nobody wakes, a seizure.
    Unconscious = "unconscious",
    /// Too much of a medicine, a drug or a poison.
    Overdose = "overdose",
    /// Suicide and self-harm.
    SelfHarm = "self_harm",
    /// A severe allergic reaction.
    Allergic = "allergic",
}

/// Why a sentence of the model is not spoken. What the caller hears instead is [`Dialogue::heard`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Stopped {
    /// Advice, a diagnosis, a dose, law, money, a promise: not what a clinic's assistant may say.
    Scope,
    /// An identifier that the caller has not given.
    Identifier,
    /// The sentence, or the reply with it, is too long.
    Length,
    /// A placeholder that does not exist, or is broken.
    Placeholder,
}

impl Stopped {
    /// Every reason, in the order of the enum.
    pub const ALL: [Self; 4] = [Self::Scope, Self::Identifier, Self::Length, Self::Placeholder];

    /// The stable code in log lines and reports.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Scope => "scope",
            Self::Identifier => "identifier",
            Self::Length => "length",
            Self::Placeholder => "placeholder",
        }
    }
}

/// What becomes of a caller's turn.
#[expect(missing_debug_implementations, reason = "it holds what a caller said")]
pub enum Inbound {
    /// Nothing goes to the model; what is done is [`Dialogue::emergency`].
    Emergency(EmergencyKind),
    /// This goes to the model.
    Forward(Forward),
}

/// A caller's turn for the model, and the values behind its new placeholders.
#[expect(missing_debug_implementations, reason = "it holds what a caller said")]
pub struct Forward {
    /// What the model is given: still PHI, because a placeholder hides a value and not an illness.
    pub text: Phi<String>,
    slots: Vec<memory::Slot>,
}

impl Forward {
    /// How many new placeholders of each class it has, in the order of [`SlotClass::ALL`].
    #[must_use]
    pub fn new_slots(&self) -> [usize; 6] {
        SlotClass::ALL.map(|class| self.slots.iter().filter(|slot| slot.class == class).count())
    }
}

/// The gate of one call. What the caller has told is wiped when it is dropped.
#[expect(missing_debug_implementations, reason = "it holds what a caller said")]
pub struct Gate {
    dialogue: Arc<Dialogue>,
    memory: memory::Memory,
    asked: Asked,
    /// Turns of the caller in which that may still be answered.
    asked_turns: u8,
}

impl Gate {
    /// The gate of a new call.
    #[must_use]
    pub fn new(dialogue: Arc<Dialogue>) -> Self {
        let memory = memory::Memory::default();
        Self { dialogue, memory, asked: Asked::default(), asked_turns: 0 }
    }

    /// Judges what the caller said: a recogniser's text, with or without signs and capitals, numbers in words or
    /// figures. What is past [`crate::limit::GATE_TEXT_BYTES_MAX`] is neither judged nor sent on. It remembers
    /// nothing, so that a guess at what the caller is saying can be thrown away.
    ///
    /// Of several kinds of emergency the one that stands first in the rules is taken.
    #[must_use]
    pub fn inbound(&self, said: &str) -> Inbound {
        let dialogue = &*self.dialogue;
        let text = Text::new(said, &dialogue.reading);
        for emergency in &dialogue.emergencies {
            let denials = if emergency.can_be_denied { &dialogue.denials[..] } else { &[] };
            if standing(&emergency.patterns, &emergency.lifted_by, denials, &text).is_some() {
                return Inbound::Emergency(emergency.kind);
            }
        }
        let found = slot::find(&text, &dialogue.slots, self.asked);
        let (text, slots) = self.memory.mask(&text, found, &dialogue.slots);
        Inbound::Forward(Forward { text, slots })
    }

    /// Remembers the slots of a turn that was confirmed. It must be what [`Gate::inbound`] made since the last turn
    /// that was adopted; of two that were, only the first one's new placeholders are believed.
    pub fn adopt(&mut self, inbound: &Inbound) {
        if let Inbound::Forward(forward) = inbound {
            self.memory.add(&forward.slots);
        }
        self.asked_turns = self.asked_turns.saturating_sub(1);
        if self.asked_turns == 0 {
            self.asked = Asked::default();
        }
    }

    /// Judges one sentence of the model's reply before it is spoken, behind `before` characters of the same reply, as the
    /// answer to the turn `speculative`, whether that was adopted or not. `Ok` is what is to be said, placeholders filled in with what the caller said. The
    /// marker `[hang up]` is taken away before: here it is a placeholder that does not exist.
    ///
    /// # Errors
    /// [`Stopped`], the first that applies of: length, placeholder, scope, identifier.
    pub fn outbound(
        &self,
        sentence: &str,
        before: usize,
        speculative: &Inbound,
    ) -> Result<Phi<String>, Stopped> {
        outbound::judge(&self.dialogue, &self.memory, before, sentence, speculative)
    }

    /// Remembers what we asked for, so that a bare "john smith" after "what is your name?" is a name. It is fed with each
    /// sentence that was spoken.
    pub fn spoken(&mut self, sentence: &str) {
        let rules = &self.dialogue.slots;
        let text = Text::new(sentence, &self.dialogue.reading);
        for class in SlotClass::ALL {
            if first(&rules.class(class).asked, &text).is_some() {
                self.asked.add(class);
                self.asked_turns = crate::limit::GATE_ASKED_TURNS_MAX;
            }
        }
    }
}
