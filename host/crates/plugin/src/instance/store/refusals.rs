//! Notes in the meters of an instance's requests what memory the instance was refused.

use wasmtime::ResourceLimiterAsync;

use super::GuestState;

impl GuestState {
    /// Notes a refusal of memory that was new, in the meters of the instance's requests.
    pub(super) fn note_refusal(&mut self) {
        if self.limiter.take_refusal() {
            self.contexts.note_refusal(&self.meter);
        }
    }
}

/// Asks [`MemoryLimiter`](crate::instance::limiter::MemoryLimiter), and notes what it refuses in the meters of the
/// instance's requests.
#[async_trait::async_trait]
impl ResourceLimiterAsync for GuestState {
    async fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let grows = self.limiter.memory_growing(current, desired, maximum).await?;
        self.note_refusal();
        Ok(grows)
    }

    async fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let grows = self.limiter.table_growing(current, desired, maximum).await?;
        self.note_refusal();
        Ok(grows)
    }

    fn instances(&self) -> usize {
        self.limiter.instances()
    }

    fn tables(&self) -> usize {
        self.limiter.tables()
    }

    fn memories(&self) -> usize {
        self.limiter.memories()
    }
}
