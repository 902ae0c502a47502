//! Reads the state of an evaluated engine for wizer, which writes it into a component.

use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, Instance, Lift, TypedFunc, WasmList};
use wasmtime_wizer::ComponentInstanceState;

/// An instance with the functions that wizer added to it.
pub(super) struct Memory<'s, T: 'static> {
    pub(super) store: &'s mut Store<T>,
    pub(super) instance: Instance,
}

impl<T: Send> Memory<'_, T> {
    /// Calls one of the added functions. They are there, have these types, and do not trap: wizer wrote them.
    async fn read<R: Lift + Send + Sync + 'static>(&mut self, instance: &str, func: &str) -> R
    where
        (R,): ComponentNamedList + Lift,
    {
        let read = self.function::<R>(instance, func).expect("a function that wizer added");
        let (value,) = read.call_async(&mut *self.store, ()).await.expect("it only reads");
        value
    }

    fn function<R: Lift + Send + Sync + 'static>(
        &mut self,
        instance: &str,
        func: &str,
    ) -> wasmtime::Result<TypedFunc<(), (R,)>>
    where
        (R,): ComponentNamedList + Lift,
    {
        let exports = self.instance.get_export_index(&mut *self.store, None, instance);
        let func = self.instance.get_export_index(&mut *self.store, exports.as_ref(), func);
        let func = func.ok_or_else(|| wasmtime::Error::msg("no such export"))?;
        self.instance.get_typed_func(&mut *self.store, func)
    }
}

impl<T: Send> ComponentInstanceState for Memory<'_, T> {
    async fn call_func_ret_list_u8(&mut self, instance: &str, func: &str, contents: impl FnOnce(&[u8]) + Send) {
        let list: WasmList<u8> = self.read(instance, func).await;
        contents(list.as_le_slice(&*self.store));
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.read(instance, func).await
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.read(instance, func).await
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        f32::to_bits(self.read(instance, func).await)
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        f64::to_bits(self.read(instance, func).await)
    }
}
