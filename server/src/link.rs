//! The way from one node of this server to another, which a fault can cut or make slow.
//!
//! 1. What is sent one way arrives in the order in which it was sent.
//! 2. A cut way holds what is on it until it is healed. Nobody is told.
//! 3. A way that nothing ails costs one look at a flag.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

/// One message: what is done when it arrives.
type Parcel = Box<dyn FnOnce() + Send>;

pub struct Way {
    runtime: Handle,
    /// Something ails it: whoever sends must look closer.
    ails: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    cut: bool,
    delay: Duration,
    /// On its way, with the moment when each may arrive; in order.
    waiting: VecDeque<(Instant, Parcel)>,
    /// Someone carries what waits.
    carried: bool,
}

impl State {
    fn ails(&self) -> bool {
        self.cut || !self.delay.is_zero() || self.carried || !self.waiting.is_empty()
    }
}

impl Way {
    /// A free way; `runtime` carries what waits once it is not.
    pub fn new(runtime: Handle) -> Arc<Way> {
        Arc::new(Way { runtime, ails: AtomicBool::new(false), state: Mutex::default() })
    }

    /// Lets `arrive` happen: now, or when its turn comes.
    pub fn send(self: &Arc<Self>, arrive: impl FnOnce() + Send + 'static) {
        if self.ails.load(Ordering::Acquire) {
            let mut state = self.state();
            if state.ails() {
                let due = Instant::now() + state.delay;
                state.waiting.push_back((due, Box::new(arrive)));
                return self.go_on(state);
            }
        }
        arrive();
    }

    /// Ends when something that is sent now would have arrived.
    pub async fn pass(self: &Arc<Self>) {
        let (arrive, arrived) = tokio::sync::oneshot::channel();
        self.send(move || {
            let _ = arrive.send(());
        });
        let _ = arrived.await;
    }

    /// What every message takes longer.
    pub fn delay(&self) -> Duration {
        self.state().delay
    }

    pub fn cut(&self) {
        let mut state = self.state();
        state.cut = true;
        self.ails.store(true, Ordering::Release);
    }

    /// What was held goes on, in order.
    pub fn heal(self: &Arc<Self>) {
        let mut state = self.state();
        state.cut = false;
        self.go_on(state);
    }

    /// Every message takes so much longer from here on; zero is as quick as it is.
    pub fn slow(self: &Arc<Self>, delay: Duration) {
        let mut state = self.state();
        state.delay = delay;
        self.go_on(state);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("not poisoned")
    }

    /// Sees to it that what waits is carried, and notes whether anything ails the way.
    fn go_on(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if !state.cut && !state.carried && !state.waiting.is_empty() {
            state.carried = true;
            let way = self.clone();
            self.runtime.spawn(async move { way.carry().await });
        }
        self.ails.store(state.ails(), Ordering::Release);
    }

    async fn carry(self: Arc<Self>) {
        while let Some(next) = self.next() {
            match next {
                Ok(arrive) => arrive(),
                Err(due) => tokio::time::sleep_until(due.into()).await,
            }
        }
    }

    /// What may arrive now, or when the next one may; `None` where there is nothing to carry.
    fn next(&self) -> Option<Result<Parcel, Instant>> {
        let mut state = self.state();
        match state.waiting.front() {
            Some((due, _)) if !state.cut => match *due <= Instant::now() {
                true => state.waiting.pop_front().map(|(_, arrive)| Ok(arrive)),
                false => Some(Err(*due)),
            },
            _ => {
                state.carried = false;
                self.ails.store(state.ails(), Ordering::Release);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    fn sent(way: &Arc<Way>, to: &Sender<u32>, number: u32) {
        let to = to.clone();
        way.send(move || to.send(number).unwrap());
    }

    fn arrived(at: &Receiver<u32>) -> Vec<u32> {
        std::iter::from_fn(|| at.recv_timeout(Duration::from_secs(5)).ok()).take(4).collect()
    }

    #[test]
    fn what_a_cut_holds_goes_on_in_order_and_before_what_is_sent_later() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let way = Way::new(runtime.handle().clone());
        let (to, at) = channel();
        sent(&way, &to, 1);
        assert_eq!(at.try_recv(), Ok(1));
        way.cut();
        (2..5).for_each(|number| sent(&way, &to, number));
        assert!(at.try_recv().is_err());
        way.heal();
        sent(&way, &to, 5);
        assert_eq!(arrived(&at), [2, 3, 4, 5]);
    }

    #[test]
    fn a_slow_way_delays_every_message_and_keeps_their_order_when_it_is_quick_again() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let way = Way::new(runtime.handle().clone());
        let (to, at) = channel();
        let begin = Instant::now();
        way.slow(Duration::from_millis(60));
        (1..4).for_each(|number| sent(&way, &to, number));
        way.slow(Duration::ZERO);
        sent(&way, &to, 4);
        assert_eq!(arrived(&at), [1, 2, 3, 4]);
        assert!(begin.elapsed() >= Duration::from_millis(60));
    }
}
