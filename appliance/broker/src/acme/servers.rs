//! The server that shows our certificates: told what to show, and believed only when it says that it does.
//!
//! A server that is started again has another channel, and is told anew.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::time::timeout;
use ward_edge::instruction::{Instruction, Taken};
use ward_policy::fault::{AcmeFault, CertificateFault};
use ward_policy::limit;
use ward_sys::readiness::watch;

#[derive(Default)]
pub(crate) struct Servers(Mutex<State>);

#[derive(Default)]
struct State {
    channel: Option<Arc<AsyncFd<OwnedFd>>>,
    number: u64,
    waiting: BTreeMap<u64, oneshot::Sender<Result<(), CertificateFault>>>,
    /// What a server that comes is told: nothing that no server has taken yet.
    chain: Option<Instruction>,
}

impl Servers {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the channel of a server that was started, and tells it what there is.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn take(self: &Arc<Self>, channel: OwnedFd) -> std::io::Result<()> {
        let channel = Arc::new(watch(channel, Interest::READABLE)?);
        {
            let mut state = self.lock();
            state.channel = Some(Arc::clone(&channel));
            // Whoever waits for the one before waits in vain.
            state.waiting.clear();
        }
        let this = Arc::clone(self);
        tokio::spawn(async move { this.listen(&channel).await });
        let this = Arc::clone(self);
        // One that takes it says so; one that does not has said why.
        tokio::spawn(async move { this.tell_current().await });
        Ok(())
    }

    /// Has every server that comes told of a chain that is known to be good.
    pub(super) fn expect(&self, chain: Instruction) {
        self.lock().chain = Some(chain);
    }

    /// Has a chain shown, and once it is by every server that comes. `Unfit` when the server can make nothing of it, and never will.
    pub(super) async fn use_chain(&self, chain: Instruction) -> Result<(), AcmeFault> {
        self.tell_patiently(&chain).await?;
        self.expect(chain);
        Ok(())
    }

    /// Has a challenge answered.
    pub(super) async fn answer(&self, challenge: Instruction) -> Result<(), AcmeFault> {
        self.tell_patiently(&challenge).await.map_err(|_reason| AcmeFault::NotTaken)
    }

    /// Tells a server that came what is shown; read anew each time, because that may change meanwhile.
    async fn tell_current(&self) {
        for _ in 0..limit::CERTIFICATE_TOLD_MAX {
            let Some(chain) = self.lock().chain.clone() else { return };
            if self.tell(&chain).await != Err(AcmeFault::NotTaken) {
                return;
            }
            tokio::time::sleep(limit::CERTIFICATE_TOLD_PAUSE).await;
        }
    }

    /// Has no challenge answered any more. A server that does not hear it answers one that nobody asks about.
    pub(super) async fn end_challenge(&self) {
        self.tell(&Instruction::NoChallenge).await.unwrap_or_default();
    }

    /// A server may be about to start, and `sign` crowded.
    async fn tell_patiently(&self, instruction: &Instruction) -> Result<(), AcmeFault> {
        for _ in 1..limit::CERTIFICATE_TOLD_MAX {
            let told = self.tell(instruction).await;
            if told != Err(AcmeFault::NotTaken) {
                return told;
            }
            tokio::time::sleep(limit::CERTIFICATE_TOLD_PAUSE).await;
        }
        self.tell(instruction).await
    }

    async fn tell(&self, instruction: &Instruction) -> Result<(), AcmeFault> {
        let not_taken = AcmeFault::NotTaken;
        let taken = {
            let mut state = self.lock();
            let channel = state.channel.clone().ok_or(not_taken)?;
            state.number = state.number.wrapping_add(1);
            let number = state.number;
            let bytes = instruction.to_bytes(number).ok_or(AcmeFault::Unfit)?;
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            send(channel.get_ref().as_fd(), &bytes, flags).map_err(|_gone| not_taken)?;
            let (sender, taken) = oneshot::channel();
            // Those before it are waited for no more: one thing is said at a time.
            state.waiting.clear();
            state.waiting.insert(number, sender);
            taken
        };
        match timeout(limit::CERTIFICATE_TAKEN_DEADLINE, taken).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(CertificateFault::Garbage))) => Err(AcmeFault::Unfit),
            // Too late, another server by now, or one whose `sign` did not have the key when it asked.
            _ => Err(not_taken),
        }
    }

    /// Hears what a server says, until it is gone.
    async fn listen(&self, channel: &AsyncFd<OwnedFd>) {
        let mut buffer = [0; 16];
        // A channel that comes later could not be set not to block: that takes a call that a sealed process has not.
        let flags = RecvFlags::TRUNC | RecvFlags::DONTWAIT;
        loop {
            let Ok(mut ready) = channel.readable().await else { return };
            match recv(channel.get_ref().as_fd(), &mut buffer, flags) {
                Ok((_, 0)) => return,
                Ok((_, length)) => {
                    let Some(taken) = buffer.get(..length).and_then(Taken::parse) else { continue };
                    if let Some(sender) = self.lock().waiting.remove(&taken.number) {
                        // Nobody there: it took too long.
                        sender.send(taken.outcome).unwrap_or_default();
                    }
                }
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(_broken) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use rustls_pki_types::CertificateDer;

    fn pair() -> (OwnedFd, OwnedFd) {
        let flags = SocketFlags::CLOEXEC;
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap()
    }

    fn chain(first: u8) -> Instruction {
        Instruction::Chain(vec![CertificateDer::from(vec![first; 10])])
    }

    /// A server that answers `count` instructions with `outcome`, and what they were.
    fn play(
        channel: OwnedFd,
        outcome: Result<(), CertificateFault>,
        count: usize,
    ) -> std::thread::JoinHandle<Vec<Instruction>> {
        std::thread::spawn(move || {
            let mut buffer = [0; 1_024];
            let mut said = Vec::new();
            for _ in 0..count {
                let (_, length) = recv(&channel, &mut buffer, RecvFlags::empty()).unwrap();
                let (number, instruction) = Instruction::parse(&buffer[..length]).unwrap();
                said.push(instruction.unwrap());
                let bytes = Taken { number, outcome }.to_bytes();
                send(&channel, &bytes, SendFlags::NOSIGNAL).unwrap();
            }
            said
        })
    }

    #[tokio::test]
    async fn a_server_is_believed_when_it_says_so_and_the_next_one_is_told_anew() {
        let servers = Arc::new(Servers::default());
        assert_eq!(servers.tell(&chain(1)).await, Err(AcmeFault::NotTaken), "nobody there");
        let (ours, theirs) = pair();
        let playing = play(theirs, Ok(()), 1);
        servers.take(ours).unwrap();
        servers.use_chain(chain(1)).await.unwrap();
        assert_eq!(playing.join().unwrap(), [chain(1)]);
        let (ours, theirs) = pair();
        let playing = play(theirs, Ok(()), 1);
        servers.take(ours).unwrap();
        let said = tokio::task::spawn_blocking(move || playing.join().unwrap()).await.unwrap();
        assert_eq!(said, [chain(1)], "without being asked");
    }

    #[tokio::test]
    async fn a_chain_that_was_refused_is_told_to_nobody_who_comes() {
        let servers = Arc::new(Servers::default());
        let (ours, theirs) = pair();
        let playing = play(theirs, Ok(()), 1);
        servers.take(ours).unwrap();
        servers.use_chain(chain(1)).await.unwrap();
        drop(playing.join().unwrap());
        let (ours, theirs) = pair();
        // Told of the first when it comes, and of the second afterwards: it makes nothing of either.
        let playing = play(theirs, Err(CertificateFault::Garbage), 2);
        servers.take(ours).unwrap();
        tokio::task::yield_now().await;
        assert_eq!(servers.use_chain(chain(2)).await, Err(AcmeFault::Unfit));
        let said = tokio::task::spawn_blocking(move || playing.join().unwrap()).await.unwrap();
        assert!(said.contains(&chain(2)), "it was tried");
        let (ours, theirs) = pair();
        let playing = play(theirs, Ok(()), 1);
        servers.take(ours).unwrap();
        let said = tokio::task::spawn_blocking(move || playing.join().unwrap()).await.unwrap();
        assert_eq!(said, [chain(1)]);
    }

    #[tokio::test]
    async fn a_refusal_and_an_answer_to_something_else_are_not_taken_for_one() {
        let servers = Arc::new(Servers::default());
        let (ours, theirs) = pair();
        let playing = play(theirs, Err(CertificateFault::NoKey), 1);
        servers.take(ours).unwrap();
        assert_eq!(servers.tell(&chain(1)).await, Err(AcmeFault::NotTaken));
        drop(playing.join().unwrap());
        let (ours, theirs) = pair();
        servers.take(ours).unwrap();
        let other = Taken { number: 99, outcome: Ok(()) }.to_bytes();
        send(&theirs, &other, SendFlags::NOSIGNAL).unwrap();
        tokio::time::pause();
        assert_eq!(servers.tell(&chain(2)).await, Err(AcmeFault::NotTaken), "too late");
    }
}
