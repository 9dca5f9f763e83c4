-- alert_signals under another name, for alerts_fired_mv: there the table's own name is the inserted block alone.
CREATE VIEW IF NOT EXISTS alert_signals_history AS
SELECT *
FROM alert_signals;
