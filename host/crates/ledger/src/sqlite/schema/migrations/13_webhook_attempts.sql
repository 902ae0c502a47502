CREATE TABLE webhook_attempt (               -- attempts to deliver messages; of each webhook the newest ten thousand
    id           INTEGER PRIMARY KEY,        -- grows in the order of the attempts
    webhook      TEXT NOT NULL,              -- its name, which has no path of its address
    number       INTEGER NOT NULL,           -- grows by one with each attempt of the webhook
    at           INTEGER NOT NULL,           -- Unix seconds
    message      TEXT NOT NULL,              -- id of the message, the same at each attempt
    kind         TEXT NOT NULL,              -- type of the message: payment.paid
    event        INTEGER,                    -- number of the event that it tells; NULL: an alert
    payment_id   TEXT,                       -- as in headers and logs; NULL: an alert
    status       INTEGER,                    -- of the answer; NULL: there was none
    error        TEXT                        -- NULL: the message was accepted
) STRICT;
CREATE UNIQUE INDEX webhook_attempt_by_webhook ON webhook_attempt (webhook, number);
CREATE INDEX webhook_attempt_by_payment ON webhook_attempt (payment_id, id) WHERE payment_id IS NOT NULL;
CREATE TRIGGER webhook_attempt_kept AFTER INSERT ON webhook_attempt BEGIN
    DELETE FROM webhook_attempt WHERE webhook = new.webhook AND number <= new.number - 10000;
END;
