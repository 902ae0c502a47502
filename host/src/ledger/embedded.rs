//! The embedded store: one SQLite file, one writer thread that commits whatever has queued.
//!
//! Group commit: the thread takes every job that waits, runs them in one transaction, commits once
//! with `synchronous=FULL`, and only then answers. A job that fails is rolled back alone.

use std::path::Path;
use std::sync::mpsc;

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::oneshot;

use super::{Answer, Claim, Claimed, KeptAnswer, Ledger, LedgerError, Payment, PaymentId, Pending, schema};
use crate::x402::{Network, SettlementResponse, UnixTime};

/// At most so many jobs share a commit, so that no caller waits for an unbounded batch.
const BATCH: usize = 512;

/// The ledger in a file of its own.
#[derive(Debug)]
pub struct Embedded {
    jobs: mpsc::Sender<Job>,
}

/// Runs inside the transaction, or hears why there is none, and hands back what answers the caller once it is committed.
type Job = Box<dyn FnOnce(Result<&Connection, LedgerError>) -> Reply + Send>;
/// Told whether the transaction became durable.
type Reply = Box<dyn FnOnce(Result<(), LedgerError>) + Send>;

impl Embedded {
    /// Opens or creates the file and starts the writer. Claims that an earlier process left reserved
    /// are released: nothing was sent for them. Those left settling stay for recovery.
    pub fn open(path: &Path) -> Result<Self, LedgerError> {
        Self::start(path, lock(path)?)
    }

    /// Throws an older file away first, once it is certain that no other process uses it.
    pub fn create(path: &Path) -> Result<Self, LedgerError> {
        let lock = lock(path)?;
        for suffix in ["", "-wal", "-shm"] {
            let mut file = path.as_os_str().to_owned();
            file.push(suffix);
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(LedgerError::Unavailable(format!("{}: {error}", path.display())));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Self::start(path, lock)
    }

    fn start(path: &Path, lock: std::fs::File) -> Result<Self, LedgerError> {
        use std::os::unix::fs::OpenOptionsExt;
        // It holds answers that were paid for and signed payments: nobody else reads it.
        std::fs::File::options()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| LedgerError::Unavailable(format!("{}: {error}", path.display())))?;
        let mut connection =
            Connection::open(path).map_err(|error| LedgerError::Unavailable(format!("{}: {error}", path.display())))?;
        schema::prepare(&mut connection)?;
        connection.execute("DELETE FROM payment WHERE state = 'reserved'", [])?;
        let (jobs, queue) = mpsc::channel::<Job>();
        std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || {
                write(&mut connection, &queue);
                drop(lock);
            })
            .map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        Ok(Self { jobs })
    }

    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, LedgerError> + Send + 'static,
    ) -> Answer<'static, T> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            let done = connection.and_then(|connection| savepoint(connection, work));
            Box::new(move |committed| {
                // The caller may have gone; the change stays.
                let _ = reply.send(committed.and(done));
            })
        });
        let stopped = || LedgerError::Unavailable("the ledger's writer has stopped".to_owned());
        let sent = self.jobs.send(job).map_err(|_| stopped());
        Box::pin(async move {
            sent?;
            answer.await.map_err(|_| stopped())?
        })
    }
}

/// One process per file: a second host on the same ledger would release the first one's claims.
/// Readers with other tools are not locked out. The lock ends with the process, however it ends.
fn lock(path: &Path) -> Result<std::fs::File, LedgerError> {
    let beside = path.with_extension("lock");
    let failed = |error: std::io::Error| LedgerError::Unavailable(format!("{}: {error}", beside.display()));
    let file = std::fs::File::options().create(true).truncate(false).write(true).open(&beside).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(LedgerError::Unavailable(format!(
            "{} is in use by another Coinslot: stop it, or name another `state` directory",
            path.display()
        ))),
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Runs one job so that its failure undoes only itself.
fn savepoint<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    connection.execute_batch("SAVEPOINT job")?;
    let done = work(connection);
    if done.is_err() {
        connection.execute_batch("ROLLBACK TO job")?;
    }
    connection.execute_batch("RELEASE job")?;
    done
}

/// The writer thread: ends when the last [`Embedded`] is dropped.
fn write(connection: &mut Connection, queue: &mpsc::Receiver<Job>) {
    while let Ok(first) = queue.recv() {
        let begun = connection.execute_batch("BEGIN IMMEDIATE").map_err(LedgerError::from);
        // Without a transaction a savepoint would commit by itself what its caller hears has failed.
        let mut replies = vec![first(begun.clone().map(|()| &*connection))];
        while replies.len() < BATCH
            && let Ok(job) = queue.try_recv()
        {
            replies.push(job(begun.clone().map(|()| &*connection)));
        }
        let committed = begun.and_then(|()| connection.execute_batch("COMMIT").map_err(LedgerError::from));
        if let Err(error) = &committed {
            tracing::error!(%error, "the ledger could not commit");
            if !connection.is_autocommit() {
                let _ = connection.execute_batch("ROLLBACK");
            }
        }
        for reply in replies {
            reply(committed.clone());
        }
    }
}

impl Ledger for Embedded {
    fn claim(&self, claim: Claim) -> Answer<'_, Claimed> {
        self.run(move |connection| {
            let key = key(&claim.id);
            let inserted = connection
                .prepare_cached(
                    "INSERT INTO payment (key, payment_id, network, asset, payer, nonce, amount, pay_to, testnet, endpoint,
                        plugin, generation, payment, request, state, valid_before, created_at, updated_at)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, 'reserved', ?15, ?16, ?16)
                     ON CONFLICT DO NOTHING",
                )?
                .execute(params![
                    key,
                    claim.id.short(),
                    claim.id.network.as_str(),
                    claim.id.asset,
                    claim.id.payer,
                    claim.id.nonce,
                    claim.amount,
                    claim.pay_to,
                    claim.testnet,
                    claim.endpoint,
                    claim.plugin,
                    integer(claim.generation),
                    claim.payment.0.as_slice(),
                    claim.request.0.as_slice(),
                    integer(claim.valid_before.0),
                    integer(claim.at.0),
                ])?;
            if inserted == 1 { Ok(Claimed::Won) } else { standing(connection, &key, &claim) }
        })
    }

    fn standing(&self, claim: Claim) -> Answer<'_, Option<Claimed>> {
        self.run(move |connection| {
            let key = key(&claim.id);
            let there: bool = connection
                .prepare_cached("SELECT EXISTS (SELECT 1 FROM payment WHERE key = ?1)")?
                .query_row(params![key], |row| row.get(0))?;
            if there { standing(connection, &key, &claim).map(Some) } else { Ok(None) }
        })
    }

    fn release<'a>(&'a self, id: &'a PaymentId) -> Answer<'a, ()> {
        let (key, id) = (key(id), id.short());
        self.run(move |connection| {
            let changed = connection
                .prepare_cached("DELETE FROM payment WHERE key = ?1 AND state = 'reserved'")?
                .execute(params![key])?;
            one(changed, id, "released")
        })
    }

    fn settling<'a>(
        &'a self,
        id: &'a PaymentId,
        request: String,
        answer: Option<KeptAnswer>,
        at: UnixTime,
    ) -> Answer<'a, ()> {
        let (key, id) = (key(id), id.short());
        self.run(move |connection| {
            let (head, body) = match &answer {
                Some(answer) => (Some(head(answer)), Some(answer.body.as_ref())),
                None => (None, None),
            };
            let changed = connection
                .prepare_cached(
                    "UPDATE payment SET state = 'settling', settle = ?2, answer_head = ?3, answer_body = ?4, updated_at = ?5
                     WHERE key = ?1 AND state = 'reserved'",
                )?
                .execute(params![key, request, head, body, integer(at.0)])?;
            one(changed, id, "settling")
        })
    }

    fn settled<'a>(
        &'a self,
        id: &'a PaymentId,
        settlement: SettlementResponse,
        keep: bool,
        at: UnixTime,
    ) -> Answer<'a, ()> {
        let (key, id) = (key(id), id.short());
        self.run(move |connection| {
            let json =
                serde_json::to_string(&settlement).map_err(|error| LedgerError::Unavailable(error.to_string()))?;
            let changed = connection
                .prepare_cached(
                    "UPDATE payment SET state = 'settled', settlement = ?2, tx = ?3, updated_at = ?4,
                        answer_head = iif(?5, answer_head, NULL), answer_body = iif(?5, answer_body, NULL)
                     WHERE key = ?1 AND state = 'settling'",
                )?
                .execute(params![key, json, settlement.transaction, integer(at.0), keep])?;
            one(changed, id, "settled")
        })
    }

    fn refused<'a>(
        &'a self,
        id: &'a PaymentId,
        reason: String,
        transaction: Option<String>,
        at: UnixTime,
    ) -> Answer<'a, ()> {
        let (key, id) = (key(id), id.short());
        self.run(move |connection| {
            let changed = connection
                .prepare_cached(
                    "UPDATE payment SET state = 'refused', reason = ?2, tx = ?3, answer_head = NULL, answer_body = NULL,
                        updated_at = ?4 WHERE key = ?1 AND state = 'settling'",
                )?
                .execute(params![key, reason, transaction, integer(at.0)])?;
            one(changed, id, "refused")
        })
    }

    fn pending(&self, before: UnixTime) -> Answer<'_, Vec<Pending>> {
        self.run(move |connection| {
            let mut rows = connection.prepare_cached(
                "SELECT network, asset, payer, nonce, settle, answer_head IS NOT NULL, valid_before FROM payment
                 WHERE state = 'settling' AND updated_at < ?1 ORDER BY updated_at",
            )?;
            let found = rows.query_map(params![integer(before.0)], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get(1)?,
                    row.get(2)?,
                    row.get(3)?,
                    row.get::<_, Option<String>>(4)?,
                    row.get(5)?,
                    row.get(6)?,
                ))
            })?;
            let mut pending = Vec::new();
            for row in found {
                let (network, asset, payer, nonce, request, answer_kept, valid_before) = row?;
                let valid_before = UnixTime(i64::cast_unsigned(valid_before));
                let network = Network::parse(&network).map_err(|error| LedgerError::Schema(error.to_string()))?;
                let id = PaymentId { network, asset, payer, nonce };
                pending.push(Pending { id, request: request.unwrap_or_default(), valid_before, answer_kept });
            }
            Ok(pending)
        })
    }

    fn prune(&self, now: UnixTime, answers_before: UnixTime) -> Answer<'_, u64> {
        self.run(move |connection| {
            let refused = connection.execute(
                "DELETE FROM payment WHERE state = 'refused' AND valid_before < ?1 AND updated_at < ?2",
                params![integer(now.0), integer(answers_before.0)],
            )?;
            let answers = connection.execute(
                "UPDATE payment SET answer_head = NULL, answer_body = NULL
                 WHERE state = 'settled' AND updated_at < ?1 AND answer_head IS NOT NULL",
                params![integer(answers_before.0)],
            )?;
            Ok((refused + answers) as u64)
        })
    }

    fn payments(&self, limit: u32) -> Answer<'_, Vec<Payment>> {
        self.run(move |connection| {
            let mut rows = connection.prepare_cached(
                "SELECT payment_id, state, endpoint, plugin, network, asset, amount, payer, pay_to, tx, reason, testnet,
                    created_at, updated_at FROM payment ORDER BY created_at DESC LIMIT ?1",
            )?;
            let found = rows.query_map(params![limit], |row| {
                Ok(Payment {
                    payment_id: row.get(0)?,
                    state: row.get(1)?,
                    endpoint: row.get(2)?,
                    plugin: row.get(3)?,
                    network: row.get(4)?,
                    asset: row.get(5)?,
                    amount: row.get(6)?,
                    payer: row.get(7)?,
                    pay_to: row.get(8)?,
                    transaction: row.get(9)?,
                    reason: row.get(10)?,
                    testnet: row.get(11)?,
                    created_at: row.get::<_, i64>(12)?.cast_unsigned(),
                    updated_at: row.get::<_, i64>(13)?.cast_unsigned(),
                })
            })?;
            found.collect::<Result<_, _>>().map_err(LedgerError::from)
        })
    }
}

/// What stands where a claim wanted to go.
fn standing(connection: &Connection, key: &[u8], claim: &Claim) -> Result<Claimed, LedgerError> {
    let row = connection
        .prepare_cached("SELECT state, payment, request, settlement, tx, reason, answer_head, answer_body FROM payment WHERE key = ?1")?
        .query_row(params![key], |row| {
            Ok(Standing {
                state: row.get(0)?,
                payment: row.get(1)?,
                request: row.get(2)?,
                settlement: row.get(3)?,
                transaction: row.get(4)?,
                reason: row.get(5)?,
                head: row.get(6)?,
                body: row.get(7)?,
            })
        })
        .optional()?
        .ok_or_else(|| LedgerError::OutOfOrder { id: claim.id.short(), step: "claimed" })?;
    if row.payment != claim.payment.0 || row.request != claim.request.0 {
        return Ok(Claimed::OtherRequest);
    }
    Ok(match row.state.as_str() {
        "reserved" => Claimed::InFlight,
        "settling" => Claimed::Settling { transaction: row.transaction },
        "settled" => Claimed::Settled {
            settlement: row.settlement.as_deref().and_then(|json| serde_json::from_str(json).ok()).ok_or_else(
                || LedgerError::Schema(format!("payment {} is settled without a settlement", claim.id.short())),
            )?,
            answer: row.head.as_deref().and_then(|head| kept(head, row.body.unwrap_or_default())),
        },
        _ => Claimed::Refused { reason: row.reason.unwrap_or_default() },
    })
}

struct Standing {
    state: String,
    payment: Vec<u8>,
    request: Vec<u8>,
    settlement: Option<String>,
    transaction: Option<String>,
    reason: Option<String>,
    head: Option<String>,
    body: Option<Vec<u8>>,
}

/// The row's key.
fn key(id: &PaymentId) -> Vec<u8> {
    id.digest().to_vec()
}

fn head(answer: &KeptAnswer) -> String {
    let headers: Vec<(&str, String)> =
        answer.headers.iter().map(|(name, value)| (name.as_str(), hex::encode(value))).collect();
    serde_json::json!({ "status": answer.status, "headers": headers }).to_string()
}

fn kept(head: &str, body: Vec<u8>) -> Option<KeptAnswer> {
    #[derive(serde::Deserialize)]
    struct Head {
        status: u16,
        headers: Vec<(String, String)>,
    }
    let head: Head = serde_json::from_str(head).ok()?;
    let headers =
        head.headers.into_iter().map(|(name, value)| Some((name, hex::decode(value).ok()?))).collect::<Option<_>>()?;
    Some(KeptAnswer { status: head.status, headers, body: body.into() })
}

fn one(changed: usize, id: String, step: &'static str) -> Result<(), LedgerError> {
    if changed == 1 { Ok(()) } else { Err(LedgerError::OutOfOrder { id, step }) }
}

/// SQLite's integers are signed; a time or a count beyond that is as good as its end.
fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
