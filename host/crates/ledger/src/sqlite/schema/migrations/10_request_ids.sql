ALTER TABLE claim ADD COLUMN request_id TEXT;   -- of the HTTP request that made the claim; NULL: an older row
ALTER TABLE event ADD COLUMN request_id TEXT;
DROP TRIGGER progress_paid;
DROP TRIGGER progress_ended;
CREATE TRIGGER progress_paid AFTER UPDATE OF paid ON progress WHEN new.paid = 1 AND old.paid = 0 BEGIN
    INSERT INTO event (kind, claim, payment_id, network, asset, payer, pay_to, amount, testnet, endpoint, plugin, request_id, at)
        SELECT 'paid', id, payment_id, network, asset, payer, pay_to, amount, testnet, endpoint, plugin, request_id, new.updated_at
        FROM claim WHERE id = new.id;
END;
CREATE TRIGGER progress_ended AFTER UPDATE OF state ON progress
    WHEN new.state IN ('owed', 'unknown', 'refused') AND new.state <> old.state BEGIN
    INSERT INTO event (kind, claim, payment_id, network, asset, payer, pay_to, amount, testnet, endpoint, plugin, request_id, reason, at)
        SELECT new.state, id, payment_id, network, asset, payer, pay_to, amount, testnet, endpoint, plugin, request_id, new.reason,
            new.updated_at FROM claim WHERE id = new.id;
END;
DROP VIEW payment;
CREATE VIEW payment AS SELECT claim.id, key, payment_id, network, asset, payer, nonce, amount, pay_to, testnet, endpoint,
    plugin, generation, payment, claim.request, identifier, flow, state, outgoing.request AS settle, response AS settlement,
    reason, nullif(tx, '') AS tx, valid_before, verify_us, run_us, settle_us, created_at, updated_at, request_id
    FROM claim JOIN progress USING (id) LEFT JOIN settlement USING (id) LEFT JOIN outgoing USING (id);
