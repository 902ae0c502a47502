//! Watches a member: looks at it while it is in doubt, and now and then while nothing is asked of it.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use super::Member;
use crate::pool::via::Via;

/// The interval of looks at a member that is down or may be, and at one of which nothing else is asked.
const LOOK_INTERVAL: Duration = Duration::from_secs(3);
const IDLE_INTERVAL: Duration = Duration::from_secs(30);

impl Member {
    /// Looks at the member every few seconds while its circuit is open or may open, and now and then while nothing is
    /// asked of it. It never returns.
    pub(in crate::pool) async fn watch(&self) {
        loop {
            self.until_due().await;
            if let Via::Local(local) = &self.0.via {
                local.keep_head_fresh().await;
            }
            let pause = if self.is_in_doubt() { LOOK_INTERVAL } else { IDLE_INTERVAL };
            {
                // Pools share members, and each pool is watched.
                let mut judged = self.0.judged.lock();
                if judged.elapsed() < pause.mul_f32(0.9) {
                    continue;
                }
                *judged = Instant::now();
            }
            // Refused until the pause of an open circuit is over, which is the next time to look.
            let Ok(permit) = self.0.breaker.admit() else { continue };
            match self.0.via.look().await {
                Ok(()) => self.responded(permit),
                Err(error) => self.failed(permit, &error.message),
            }
        }
    }

    /// Waits until it is time to look, or to see whether it is.
    async fn until_due(&self) {
        // The chain of a facilitator in this process is read beside.
        let is_local = matches!(self.0.via, Via::Local(_));
        let mut doubted = std::pin::pin!(self.0.doubted.notified());
        // Before the flags are read: a doubt that comes after that is noticed.
        doubted.as_mut().enable();
        if is_local || self.is_in_doubt() {
            return tokio::time::sleep(LOOK_INTERVAL).await;
        }
        let known = self.0.judged.lock().elapsed();
        tokio::select! {
            () = tokio::time::sleep(IDLE_INTERVAL.saturating_sub(known).max(LOOK_INTERVAL)) => {}
            () = doubted => tokio::time::sleep(LOOK_INTERVAL).await,
        }
    }

    fn is_in_doubt(&self) -> bool {
        self.0.is_down.load(Relaxed) || self.0.is_suspect.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::tests::member;

    /// The watch woke up every three seconds to find that nothing was the matter.
    #[tokio::test]
    async fn a_member_that_answers_is_left_alone_until_it_is_in_doubt() {
        let member = member("a", "127.0.0.1:9".parse().expect("an address"));
        let rest = tokio::time::timeout(LOOK_INTERVAL + Duration::from_millis(500), member.until_due()).await;
        assert!(rest.is_err(), "nothing is the matter");
        let begun = Instant::now();
        let (watched, asked) = (member.clone(), member);
        let due = tokio::spawn(async move { watched.until_due().await });
        tokio::task::yield_now().await;
        asked.doubt();
        due.await.expect("no panic");
        assert!(begun.elapsed() < IDLE_INTERVAL / 2, "a doubt is looked into soon");
    }
}
