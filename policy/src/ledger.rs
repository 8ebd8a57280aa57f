//! The account of one turn of a conversation: where the time went, in numbers, beside what each stage should take.
//!
//! It holds no word of what was said.

use crate::limit;

/// One turn, from the end of the caller's speech to the first sound of ours, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ledger {
    /// Until the turn was taken.
    pub endpoint_ms: u64,
    /// Until the last words of it came: the recogniser's.
    pub asr_ms: u64,
    /// From the question to the first piece of the reply: the model's.
    pub llm_ms: u64,
    /// From the first sentence to its first audio: the voice's.
    pub tts_ms: u64,
    /// All of it. Less than the sum when stages ran at once.
    pub total_ms: u64,
    /// Whether the reply was begun before the turn was over.
    pub is_guessed: bool,
    /// Whether a filler was heard first.
    pub has_filler: bool,
}

impl Ledger {
    /// How many of the three stages took longer than their budgets, 0 to 3.
    #[must_use]
    pub fn over_budget(&self) -> u8 {
        let stages = [
            self.asr_ms > limit::BUDGET_ASR_MS,
            self.llm_ms > limit::BUDGET_LLM_MS,
            self.tts_ms > limit::BUDGET_TTS_MS,
        ];
        stages.into_iter().map(u8::from).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_over_its_budget_when_it_took_longer() {
        let within = Ledger { asr_ms: 150, llm_ms: 150, tts_ms: 150, ..Ledger::default() };
        assert_eq!(within.over_budget(), 0);
        assert_eq!(Ledger { llm_ms: 151, ..within }.over_budget(), 1);
        assert_eq!(Ledger { asr_ms: 400, tts_ms: 151, ..within }.over_budget(), 2);
    }
}
