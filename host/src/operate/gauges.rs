//! Gauges: what is there at the moment at which the metrics are read.

pub(super) mod facilitators;

use std::sync::{Arc, Weak};

use coinslot_facilitator::Readiness;
use coinslot_plugin::PoolUsage;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

use super::admin::HostView;
use crate::catalog::Installed;

/// Makes the gauges of a host. They end with the host.
pub(super) fn register(meter: &Meter, host: &Arc<HostView>) {
    of_plugins(meter, host);
    of_settlement(meter, host);
    of_alerts(meter, host);
    facilitators::register(meter, host);
    of_process(meter);
}

/// A gauge of each active plugin.
fn each_plugin(
    meter: &Meter,
    host: &Arc<HostView>,
    (name, unit, description): (&'static str, &'static str, &'static str),
    value: impl Fn(&Installed) -> f64 + Send + Sync + 'static,
) {
    let observe = with(host, move |host, gauge: &dyn AsyncInstrument<f64>| {
        for installed in host.catalog.load().installed() {
            let name = installed.plugin.info().name.clone();
            gauge.observe(value(installed), &[KeyValue::new("coinslot.plugin", name)]);
        }
    });
    meter.f64_observable_gauge(name).with_unit(unit).with_description(description).with_callback(observe).build();
}

/// Calls this with the host, as long as there is one.
fn with(
    host: &Arc<HostView>,
    observe: impl Fn(&HostView, &dyn AsyncInstrument<f64>) + Send + Sync + 'static,
) -> impl Fn(&dyn AsyncInstrument<f64>) + Send + Sync + 'static {
    let host: Weak<HostView> = Arc::downgrade(host);
    move |gauge| {
        if let Some(host) = host.upgrade() {
            observe(&host, gauge);
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn of_plugins(meter: &Meter, host: &Arc<HostView>) {
    let instances = ("coinslot.plugin.instances", "", "Instances that run, of all builds of a plugin");
    each_plugin(meter, host, instances, |one| one.plugin.usage().instances as f64);
    let waiting = ("coinslot.plugin.waiting", "", "Requests that wait for an instance");
    each_plugin(meter, host, waiting, |one| one.plugin.usage().waiting as f64);
    let memory = ("coinslot.plugin.memory", "By", "Memory of all instances of a plugin");
    each_plugin(meter, host, memory, |one| one.plugin.usage().memory as f64);
    let permits = ("coinslot.plugin.permits", "", "Permits of the host that the instances of a plugin hold");
    each_plugin(meter, host, permits, |one| one.plugin.usage().permits as f64);
    let shape = ("coinslot.plugin.instance.permits", "", "Permits of one instance, by the shape of its component");
    each_plugin(meter, host, shape, |one| one.plugin.usage().permits_of_instance as f64);
    let circuit = ("coinslot.plugin.circuit.open", "", "1 after failures in a row, until a call succeeds");
    each_plugin(meter, host, circuit, |one| f64::from(one.plugin.circuits_closed() != (true, true)));
    let cpu = with(host, |host, counter| {
        for installed in host.catalog.load().installed() {
            let name = KeyValue::new("coinslot.plugin", installed.plugin.info().name.clone());
            // Each build counts from zero, as each process does.
            let build = KeyValue::new("coinslot.build", installed.plugin.sha256().chars().take(12).collect::<String>());
            counter.observe(installed.plugin.usage().cpu.as_secs_f64(), &[name, build]);
        }
    });
    meter
        .f64_observable_counter("coinslot.plugin.cpu")
        .with_unit("s")
        .with_description("Processor time of guests that have ended")
        .with_callback(cpu)
        .build();
    let bound = ("coinslot.plugin.instances.limit", "", "Instances of a plugin at once, at most");
    each_plugin(meter, host, bound, |one| one.plugin.limits().instances as f64);
    of_pool(meter, host);
    let generation = with(host, |host, gauge| gauge.observe(host.catalog.load().generation as f64, &[]));
    meter
        .f64_observable_gauge("coinslot.catalog.generation")
        .with_description("Grows by one with each change of what is served")
        .with_callback(generation)
        .build();
}

/// The permits of all plugins together. A host without plugins has none of these gauges.
#[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn of_pool(meter: &Meter, host: &Arc<HostView>) {
    let gauge = |name: &'static str, description: &'static str, value: fn(PoolUsage) -> usize| {
        let observe = with(host, move |host, gauge| {
            // The plugins of a host share one pool.
            if let Some(installed) = host.catalog.load().installed().first() {
                gauge.observe(value(installed.plugin.pool()) as f64, &[]);
            }
        });
        meter.f64_observable_gauge(name).with_description(description).with_callback(observe).build();
    };
    gauge("coinslot.permits", "Permits that running instances hold", |pool| pool.held);
    gauge("coinslot.permits.limit", "All permits of the host", |pool| pool.total);
    gauge("coinslot.permits.waiting", "Requests that wait for permits", |pool| pool.waiting);
}

/// The alerts of each kind, those without one too: a series that is there from the start shows the first of them.
#[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn of_alerts(meter: &Meter, host: &Arc<HostView>) {
    let observe = with(host, |host, gauge| {
        for (kind, number) in host.alert_counts.now() {
            gauge.observe(number as f64, &[KeyValue::new("coinslot.kind", kind.as_str())]);
        }
    });
    meter
        .f64_observable_gauge("coinslot.alerts")
        .with_description("Things that are wrong, by their kind: `coinslot status` tells what to do")
        .with_callback(observe)
        .build();
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn of_settlement(meter: &Meter, host: &Arc<HostView>) {
    let ready = with(host, |host, gauge| {
        for method in host.payments.payment_methods() {
            let attributes = [
                KeyValue::new("coinslot.asset", method.asset.symbol.clone()),
                KeyValue::new("coinslot.network", method.asset.network.to_string()),
            ];
            gauge.observe(f64::from(method.facilitator.readiness() == Readiness::Ready), &attributes);
        }
    });
    meter
        .f64_observable_gauge("coinslot.settlement.ready")
        .with_description("1 if payments in an asset would be settled now")
        .with_callback(ready)
        .build();
    let at_work = with(host, |host, gauge| gauge.observe(host.payments.at_work() as f64, &[]));
    meter
        .f64_observable_gauge("coinslot.payments.at_work")
        .with_description("Payments at work")
        .with_callback(at_work)
        .build();
    let writable = with(host, |host, gauge| gauge.observe(f64::from(host.payments.ledger().writable()), &[]));
    meter
        .f64_observable_gauge("coinslot.ledger.writable")
        .with_description("1 if the ledger can be written: while it is 0, nothing is sold")
        .with_callback(writable)
        .build();
    let backlog = with(host, |host, gauge| gauge.observe(host.payments.ledger().backlog() as f64, &[]));
    meter
        .f64_observable_gauge("coinslot.ledger.backlog")
        .with_description("Jobs that wait for their commit")
        .with_callback(backlog)
        .build();
    let bytes = with(host, |host, gauge| {
        let file = host.config.state.ledger();
        let size = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |found| found.len());
        gauge.observe((size(&file) + size(&file.with_extension("db-wal"))) as f64, &[]);
    });
    meter
        .f64_observable_gauge("coinslot.ledger.size")
        .with_unit("By")
        .with_description("Size of the ledger's file and of its log")
        .with_callback(bytes)
        .build();
}

/// The metrics that every exporter of Prometheus has of its process.
#[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn of_process(meter: &Meter) {
    meter
        .f64_observable_gauge("process.memory.usage")
        .with_unit("By")
        .with_description("Resident memory of the process")
        .with_callback(|gauge| {
            let pages = std::fs::read_to_string("/proc/self/statm").ok();
            let resident = pages.and_then(|text| text.split(' ').nth(1)?.parse::<f64>().ok());
            if let Some(resident) = resident {
                gauge.observe(resident * rustix::param::page_size() as f64, &[]);
            }
        })
        .build();
    meter
        .f64_observable_counter("process.cpu.time")
        .with_unit("s")
        .with_description("Processor time of the process")
        .with_callback(|counter| {
            let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
            counter.observe(used.tv_sec as f64 + used.tv_nsec as f64 / 1e9, &[]);
        })
        .build();
    meter
        .f64_observable_gauge("process.open_file_descriptor.count")
        .with_description("Open file descriptors of the process")
        .with_callback(|gauge| {
            if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
                gauge.observe(open.count() as f64, &[]);
            }
        })
        .build();
}
