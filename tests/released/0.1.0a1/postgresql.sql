--
-- PostgreSQL database dump
--



SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: account_fixed(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.account_fixed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN IF NEW.id IS DISTINCT FROM OLD.id OR NEW.name IS DISTINCT FROM OLD.name OR NEW.realm IS DISTINCT FROM OLD.realm OR NEW.kind IS DISTINCT FROM OLD.kind OR NEW.constrained IS DISTINCT FROM OLD.constrained THEN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'account: this column never changes'; END IF; RETURN NEW; END $$;


--
-- Name: account_no_delete(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.account_no_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'account: rows are never deleted'; END $$;


--
-- Name: account_no_truncate(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.account_no_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'account: rows are never deleted'; END $$;


--
-- Name: agent_fixed(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.agent_fixed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN IF NEW.id IS DISTINCT FROM OLD.id OR NEW.name IS DISTINCT FROM OLD.name OR NEW.realm IS DISTINCT FROM OLD.realm OR NEW.account_id IS DISTINCT FROM OLD.account_id OR NEW.parent_id IS DISTINCT FROM OLD.parent_id OR NEW.depth IS DISTINCT FROM OLD.depth OR NEW.created_ms IS DISTINCT FROM OLD.created_ms THEN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'agent: this column never changes'; END IF; RETURN NEW; END $$;


--
-- Name: agent_no_delete(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.agent_no_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'agent: rows are never deleted'; END $$;


--
-- Name: agent_no_truncate(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.agent_no_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'agent: rows are never deleted'; END $$;


--
-- Name: approval_decided(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.approval_decided() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN IF OLD.state IN ('denied', 'expired', 'used') OR (OLD.state = 'pending' AND NEW.state IN ('held', 'used')) OR (OLD.state IN ('granted', 'held') AND NEW.state IN ('pending', 'denied')) OR (OLD.decided_ms IS NOT NULL AND (NEW.decided_ms IS DISTINCT FROM OLD.decided_ms OR NEW.decided_by IS DISTINCT FROM OLD.decided_by)) OR EXISTS (SELECT 1 FROM agent WHERE id = NEW.decided_by) THEN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'approval: it has been decided, or this does not follow, or an agent decides'; END IF; RETURN NEW; END $$;


--
-- Name: approval_fixed(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.approval_fixed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN IF NEW.id IS DISTINCT FROM OLD.id OR NEW.agent_id IS DISTINCT FROM OLD.agent_id OR NEW.account_id IS DISTINCT FROM OLD.account_id OR NEW.kind IS DISTINCT FROM OLD.kind OR NEW.digest IS DISTINCT FROM OLD.digest OR NEW.ceiling_msat IS DISTINCT FROM OLD.ceiling_msat OR NEW.models IS DISTINCT FROM OLD.models OR NEW.limits_version IS DISTINCT FROM OLD.limits_version OR NEW.created_ms IS DISTINCT FROM OLD.created_ms THEN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'approval: this column never changes'; END IF; RETURN NEW; END $$;


--
-- Name: approval_no_delete(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.approval_no_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'approval: rows are never deleted'; END $$;


--
-- Name: approval_no_truncate(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.approval_no_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'approval: rows are never deleted'; END $$;


--
-- Name: arbstr_now(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.arbstr_now() RETURNS bigint
    LANGUAGE sql
    AS $$SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint$$;


--
-- Name: audit_key_no_delete(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.audit_key_no_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'audit_key: rows are never deleted'; END $$;


--
-- Name: audit_key_no_truncate(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.audit_key_no_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'audit_key: rows are never deleted'; END $$;


--
-- Name: audit_key_no_update(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.audit_key_no_update() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'audit_key: rows are never changed'; END $$;


--
-- Name: audit_no_delete(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.audit_no_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'audit: rows are never deleted'; END $$;


--
-- Name: audit_no_truncate(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.audit_no_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'audit: rows are never deleted'; END $$;


--
-- Name: audit_no_update(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.audit_no_update() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'audit: rows are never changed'; END $$;


--
-- Name: audit_pending_no_truncate(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.audit_pending_no_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'audit_pending: rows are never deleted'; END $$;


--
-- Name: audit_pending_no_update(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.audit_pending_no_update() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'audit_pending: rows are never changed'; END $$;


--
-- Name: bucket_fixed(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.bucket_fixed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN IF NEW.agent_id IS DISTINCT FROM OLD.agent_id OR NEW.kind IS DISTINCT FROM OLD.kind OR NEW.window_start_ms IS DISTINCT FROM OLD.window_start_ms THEN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'bucket: this column never changes'; END IF; RETURN NEW; END $$;


--
-- Name: bucket_no_delete(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.bucket_no_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN IF OLD.kind NOT IN ('attempts', 'minute', 'requests') OR OLD.window_start_ms >= (SELECT max(b.window_start_ms) FROM bucket b WHERE b.agent_id = OLD.agent_id AND b.kind = OLD.kind) - 172800000 THEN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'bucket: days are never deleted, and of what is shorter the last two days are kept'; END IF; RETURN OLD; END $$;


--
-- Name: bucket_no_insert_over(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.bucket_no_insert_over() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN IF EXISTS (SELECT 1 FROM fresh LEFT JOIN agent a ON a.id = fresh.agent_id WHERE a IS NULL) THEN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'bucket: what it refers to is not there, or the key is taken'; END IF; RETURN NULL; END $$;


--
-- Name: bucket_no_truncate(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.bucket_no_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'bucket: rows are never deleted'; END $$;


--
-- Name: checkpoint_no_delete(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.checkpoint_no_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'checkpoint: rows are never deleted'; END $$;


--
-- Name: checkpoint_no_truncate(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.checkpoint_no_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'checkpoint: rows are never deleted'; END $$;


--
-- Name: checkpoint_no_update(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.checkpoint_no_update() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'checkpoint: rows are never changed'; END $$;


--
-- Name: deposit_no_delete(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.deposit_no_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'deposit: rows are never deleted'; END $$;


--
-- Name: deposit_no_truncate(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.deposit_no_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'deposit: rows are never deleted'; END $$;


--
-- Name: deposit_no_update(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.deposit_no_update() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'deposit: rows are never changed'; END $$;


--
-- Name: entry_no_delete(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.entry_no_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'entry: rows are never deleted'; END $$;


--
-- Name: entry_no_insert_over(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.entry_no_insert_over() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN IF EXISTS (SELECT 1 FROM fresh LEFT JOIN account a ON a.id = fresh.account_id LEFT JOIN transfer x ON x.seq = fresh.transfer_seq WHERE a.realm IS DISTINCT FROM x.realm) THEN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'entry: the account is of another realm, or the key is taken'; END IF; RETURN NULL; END $$;


--
-- Name: entry_no_truncate(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.entry_no_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'entry: rows are never deleted'; END $$;


--
-- Name: entry_no_update(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.entry_no_update() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'entry: rows are never changed'; END $$;


--
-- Name: frozen_no_delete(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.frozen_no_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'frozen: rows are never deleted'; END $$;


--
-- Name: frozen_no_truncate(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.frozen_no_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'frozen: rows are never deleted'; END $$;


--
-- Name: hold_fixed(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.hold_fixed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN IF OLD.state <> 'held' OR NEW.seen_msat < OLD.seen_msat OR NEW.seq IS DISTINCT FROM OLD.seq OR NEW.id IS DISTINCT FROM OLD.id OR NEW.agent_id IS DISTINCT FROM OLD.agent_id OR NEW.account_id IS DISTINCT FROM OLD.account_id OR NEW.kind IS DISTINCT FROM OLD.kind OR NEW.amount_msat IS DISTINCT FROM OLD.amount_msat OR NEW.boot_id IS DISTINCT FROM OLD.boot_id OR NEW.window_start_ms IS DISTINCT FROM OLD.window_start_ms OR NEW.windows IS DISTINCT FROM OLD.windows OR NEW.model IS DISTINCT FROM OLD.model OR NEW.candidates IS DISTINCT FROM OLD.candidates OR NEW.granted IS DISTINCT FROM OLD.granted OR NEW.previous_seq IS DISTINCT FROM OLD.previous_seq OR NEW.approval_id IS DISTINCT FROM OLD.approval_id OR NEW.created_ms IS DISTINCT FROM OLD.created_ms THEN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'hold: it has ended, or this column never changes, or less was seen than before'; END IF; RETURN NEW; END $$;


--
-- Name: hold_no_delete(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.hold_no_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'hold: rows are never deleted'; END $$;


--
-- Name: hold_no_insert_over(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.hold_no_insert_over() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN IF EXISTS (SELECT 1 FROM fresh LEFT JOIN agent a ON a.id = fresh.agent_id AND a.account_id = fresh.account_id WHERE a IS NULL) THEN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'hold: what it refers to is not there, or the key is taken'; END IF; RETURN NULL; END $$;


--
-- Name: hold_no_truncate(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.hold_no_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'hold: rows are never deleted'; END $$;


--
-- Name: hold_window_no_delete(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.hold_window_no_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'hold_window: rows are never deleted'; END $$;


--
-- Name: hold_window_no_insert_over(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.hold_window_no_insert_over() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN IF EXISTS (SELECT 1 FROM fresh LEFT JOIN hold a ON a.seq = fresh.hold_seq WHERE a IS NULL) THEN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'hold_window: what it refers to is not there, or the key is taken'; END IF; RETURN NULL; END $$;


--
-- Name: hold_window_no_truncate(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.hold_window_no_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'hold_window: rows are never deleted'; END $$;


--
-- Name: hold_window_no_update(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.hold_window_no_update() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'hold_window: rows are never changed'; END $$;


--
-- Name: limits_no_delete(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.limits_no_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'limits: rows are never deleted'; END $$;


--
-- Name: limits_no_truncate(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.limits_no_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'limits: rows are never deleted'; END $$;


--
-- Name: limits_no_update(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.limits_no_update() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'limits: rows are never changed'; END $$;


--
-- Name: operator_fixed(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.operator_fixed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN IF NEW.hash IS DISTINCT FROM OLD.hash OR NEW.name IS DISTINCT FROM OLD.name OR NEW.created_by IS DISTINCT FROM OLD.created_by OR NEW.created_ms IS DISTINCT FROM OLD.created_ms THEN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'operator: this column never changes'; END IF; RETURN NEW; END $$;


--
-- Name: operator_no_delete(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.operator_no_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'operator: rows are never deleted'; END $$;


--
-- Name: operator_no_truncate(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.operator_no_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'operator: rows are never deleted'; END $$;


--
-- Name: operator_revoked(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.operator_revoked() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN IF OLD.revoked_ms IS NOT NULL THEN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'operator: the token is revoked'; END IF; RETURN NEW; END $$;


--
-- Name: payment_fixed(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.payment_fixed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN IF OLD.state IN ('failed', 'rejected', 'cancelled') OR (OLD.state = 'succeeded' AND (NEW.state <> 'succeeded' OR OLD.handed IS NOT NULL)) OR (OLD.state = 'succeeded' AND (NEW.fee_msat <> OLD.fee_msat OR NEW.token IS DISTINCT FROM OLD.token)) OR (OLD.state IN ('dispatching', 'in_flight', 'unknown') AND NEW.state IN ('created', 'rejected', 'cancelled')) OR (OLD.state IN ('dispatching', 'in_flight', 'unknown') AND NEW.state = 'reserved' AND NEW.attempt <> OLD.attempt + 1) OR (OLD.state IN ('dispatching', 'in_flight', 'unknown') AND NEW.state <> 'reserved' AND NEW.attempt <> OLD.attempt) OR (OLD.state IN ('created', 'reserved') AND NEW.attempt <> OLD.attempt) OR (OLD.state IN ('created', 'reserved') AND NEW.state IN ('in_flight', 'unknown', 'succeeded', 'failed')) OR (OLD.state = 'created' AND NEW.state = 'dispatching') OR NEW.id IS DISTINCT FROM OLD.id OR NEW.kind IS DISTINCT FROM OLD.kind OR NEW.realm IS DISTINCT FROM OLD.realm OR NEW.agent_id IS DISTINCT FROM OLD.agent_id OR NEW.owner IS DISTINCT FROM OLD.owner OR NEW.key IS DISTINCT FROM OLD.key OR NEW.amount_msat IS DISTINCT FROM OLD.amount_msat OR NEW.fee_held_msat IS DISTINCT FROM OLD.fee_held_msat OR NEW.destination IS DISTINCT FROM OLD.destination OR NEW.target IS DISTINCT FROM OLD.target OR NEW.reference IS DISTINCT FROM OLD.reference OR NEW.rails IS DISTINCT FROM OLD.rails OR NEW.own_request IS DISTINCT FROM OLD.own_request OR NEW.created_ms IS DISTINCT FROM OLD.created_ms THEN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'payment: it has ended, or this does not follow, or this column never changes'; END IF; RETURN NEW; END $$;


--
-- Name: payment_no_delete(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.payment_no_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'payment: rows are never deleted'; END $$;


--
-- Name: payment_no_truncate(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.payment_no_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'payment: rows are never deleted'; END $$;


--
-- Name: receipt_no_delete(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.receipt_no_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'receipt: rows are never deleted'; END $$;


--
-- Name: receipt_no_insert_over(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.receipt_no_insert_over() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN IF EXISTS (SELECT 1 FROM fresh LEFT JOIN hold a ON a.seq = fresh.hold_seq WHERE a IS NULL) THEN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'receipt: what it refers to is not there, or the key is taken'; END IF; RETURN NULL; END $$;


--
-- Name: receipt_no_truncate(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.receipt_no_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'receipt: rows are never deleted'; END $$;


--
-- Name: receipt_no_update(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.receipt_no_update() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'receipt: rows are never changed'; END $$;


--
-- Name: request_fixed(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.request_fixed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN IF OLD.state IN ('paid', 'refused') OR (OLD.state IN ('cancelled', 'expired') AND NEW.state <> 'paid') OR (OLD.reference IS NOT NULL AND NEW.reference IS DISTINCT FROM OLD.reference) OR (OLD.sealed IS NOT NULL AND NEW.sealed IS DISTINCT FROM OLD.sealed) OR NEW.id IS DISTINCT FROM OLD.id OR NEW.kind IS DISTINCT FROM OLD.kind OR NEW.purpose IS DISTINCT FROM OLD.purpose OR NEW.realm IS DISTINCT FROM OLD.realm OR NEW.rail IS DISTINCT FROM OLD.rail OR NEW.agent_id IS DISTINCT FROM OLD.agent_id OR NEW.subject IS DISTINCT FROM OLD.subject OR NEW.amount_msat IS DISTINCT FROM OLD.amount_msat OR NEW.fee_msat IS DISTINCT FROM OLD.fee_msat OR NEW.memo IS DISTINCT FROM OLD.memo OR NEW.created_ms IS DISTINCT FROM OLD.created_ms THEN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'request: it has ended, or this does not follow, or this column never changes'; END IF; RETURN NEW; END $$;


--
-- Name: request_no_delete(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.request_no_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'request: rows are never deleted'; END $$;


--
-- Name: request_no_truncate(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.request_no_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'request: rows are never deleted'; END $$;


--
-- Name: seller_no_delete(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.seller_no_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'seller: rows are never deleted'; END $$;


--
-- Name: seller_no_truncate(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.seller_no_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'seller: rows are never deleted'; END $$;


--
-- Name: token_fixed(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.token_fixed() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN IF NEW.hash IS DISTINCT FROM OLD.hash OR NEW.agent_id IS DISTINCT FROM OLD.agent_id OR NEW.created_ms IS DISTINCT FROM OLD.created_ms THEN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'token: this column never changes'; END IF; RETURN NEW; END $$;


--
-- Name: token_no_delete(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.token_no_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'token: rows are never deleted'; END $$;


--
-- Name: token_no_truncate(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.token_no_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'token: rows are never deleted'; END $$;


--
-- Name: token_revoked(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.token_revoked() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN IF OLD.revoked_ms IS NOT NULL THEN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'token: it is revoked'; END IF; RETURN NEW; END $$;


--
-- Name: transfer_no_delete(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.transfer_no_delete() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'transfer: rows are never deleted'; END $$;


--
-- Name: transfer_no_insert_over(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.transfer_no_insert_over() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN IF EXISTS (SELECT 1 FROM fresh WHERE hold_seq IS NOT NULL AND NOT EXISTS (SELECT 1 FROM hold h WHERE h.seq = fresh.hold_seq AND h.state = 'held' AND h.amount_msat >= fresh.amount_msat)) THEN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'transfer: above its hold, or the hold has ended, or the key is taken'; END IF; RETURN NULL; END $$;


--
-- Name: transfer_no_truncate(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.transfer_no_truncate() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'transfer: rows are never deleted'; END $$;


--
-- Name: transfer_no_update(); Type: FUNCTION; Schema: public; Owner: -
--

CREATE FUNCTION public.transfer_no_update() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'restrict_violation', MESSAGE = 'transfer: rows are never changed'; END $$;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: account; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.account (
    id bigint NOT NULL,
    name text NOT NULL,
    realm text NOT NULL,
    kind text NOT NULL,
    constrained bigint NOT NULL,
    posted_msat bigint NOT NULL,
    held_msat bigint NOT NULL,
    last_hold bigint NOT NULL,
    last_transfer bigint NOT NULL,
    CONSTRAINT account_constrained_check CHECK ((constrained = ANY (ARRAY[(0)::bigint, (1)::bigint]))),
    CONSTRAINT account_held_msat_check CHECK ((held_msat >= 0)),
    CONSTRAINT available CHECK (((constrained = 0) OR ((posted_msat - held_msat) >= 0))),
    CONSTRAINT counters CHECK (((constrained = 1) OR ((posted_msat = 0) AND (held_msat = 0))))
);


--
-- Name: account_numbers; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.account_numbers
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: agent; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.agent (
    id text NOT NULL,
    name text NOT NULL,
    realm text NOT NULL,
    account_id bigint NOT NULL,
    parent_id text,
    depth bigint NOT NULL,
    enabled bigint NOT NULL,
    created_ms bigint NOT NULL,
    CONSTRAINT agent_depth_check CHECK (((depth >= 1) AND (depth <= 4))),
    CONSTRAINT agent_enabled_check CHECK ((enabled = ANY (ARRAY[(0)::bigint, (1)::bigint]))),
    CONSTRAINT root CHECK (((parent_id IS NULL) = (depth = 1)))
);


--
-- Name: alert; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.alert (
    agent_id text NOT NULL,
    kind text NOT NULL,
    last_ms bigint NOT NULL
);


--
-- Name: approval; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.approval (
    id text NOT NULL,
    agent_id text NOT NULL,
    account_id bigint NOT NULL,
    kind text NOT NULL,
    digest bytea NOT NULL,
    ceiling_msat bigint NOT NULL,
    models text NOT NULL,
    limits_version bigint NOT NULL,
    state text NOT NULL,
    created_ms bigint NOT NULL,
    expires_ms bigint NOT NULL,
    decided_ms bigint,
    decided_by text,
    hold_id text,
    CONSTRAINT approval_ceiling_msat_check CHECK ((ceiling_msat >= 0)),
    CONSTRAINT approval_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'granted'::text, 'denied'::text, 'expired'::text, 'held'::text, 'used'::text]))),
    CONSTRAINT decided CHECK (((decided_ms IS NULL) = (decided_by IS NULL))),
    CONSTRAINT decided_by_someone CHECK (((state = ANY (ARRAY['pending'::text, 'expired'::text])) OR (decided_by IS NOT NULL)))
);


--
-- Name: audit; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.audit (
    seq bigint NOT NULL,
    epoch bigint NOT NULL,
    format bigint NOT NULL,
    at_ms bigint NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    data text NOT NULL,
    hash bytea NOT NULL
);


--
-- Name: audit_key; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.audit_key (
    n bigint NOT NULL,
    public_key bytea NOT NULL,
    adopted_ms bigint NOT NULL,
    CONSTRAINT audit_key_n_check CHECK ((n > 0))
);


--
-- Name: audit_pending; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.audit_pending (
    id bigint NOT NULL,
    at_ms bigint NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    data text NOT NULL
);


--
-- Name: audit_pending_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.audit_pending ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.audit_pending_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: boot; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.boot (
    id text NOT NULL,
    started_ms bigint NOT NULL,
    lease_until_ms bigint NOT NULL,
    ended_ms bigint
);


--
-- Name: bucket; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.bucket (
    agent_id text NOT NULL,
    kind text NOT NULL,
    window_start_ms bigint NOT NULL,
    used bigint NOT NULL,
    CONSTRAINT bucket_used_check CHECK ((used >= 0))
);


--
-- Name: checkpoint; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.checkpoint (
    audit_seq bigint NOT NULL,
    at_ms bigint NOT NULL,
    body text NOT NULL,
    key_id text NOT NULL,
    signature bytea NOT NULL
);


--
-- Name: cipher_check; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.cipher_check (
    key_id text NOT NULL,
    sealed bytea NOT NULL
);


--
-- Name: claim; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.claim (
    slot bigint NOT NULL,
    account_id bigint NOT NULL,
    digest bytea NOT NULL,
    hold_id text NOT NULL,
    body bytea,
    at_ms bigint NOT NULL
);


--
-- Name: deposit; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.deposit (
    seq bigint NOT NULL,
    rail text NOT NULL,
    reference text NOT NULL,
    kind text NOT NULL,
    realm text NOT NULL,
    amount_msat bigint NOT NULL,
    fee_msat bigint NOT NULL,
    request_id text,
    agent_id text,
    transfer_seq bigint NOT NULL,
    at_ms bigint NOT NULL,
    CONSTRAINT deposit_amount_msat_check CHECK ((amount_msat > 0)),
    CONSTRAINT deposit_fee_msat_check CHECK ((fee_msat >= 0))
);


--
-- Name: deposit_seq_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.deposit ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.deposit_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: entry; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.entry (
    transfer_seq bigint NOT NULL,
    n bigint NOT NULL,
    account_id bigint NOT NULL,
    side text NOT NULL,
    amount_msat bigint NOT NULL,
    previous_seq bigint,
    CONSTRAINT entry_amount_msat_check CHECK ((amount_msat > 0)),
    CONSTRAINT entry_side_check CHECK ((side = ANY (ARRAY['debit'::text, 'credit'::text])))
);


--
-- Name: frozen; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.frozen (
    scope text NOT NULL,
    frozen bigint NOT NULL,
    reason text NOT NULL,
    actor text NOT NULL,
    at_ms bigint NOT NULL,
    CONSTRAINT frozen_frozen_check CHECK ((frozen = ANY (ARRAY[(0)::bigint, (1)::bigint])))
);


--
-- Name: hold; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.hold (
    seq bigint NOT NULL,
    id text NOT NULL,
    agent_id text NOT NULL,
    account_id bigint NOT NULL,
    kind text NOT NULL,
    amount_msat bigint NOT NULL,
    state text NOT NULL,
    boot_id text NOT NULL,
    window_start_ms bigint NOT NULL,
    windows bigint NOT NULL,
    model text NOT NULL,
    candidates text NOT NULL,
    granted bigint NOT NULL,
    previous_seq bigint NOT NULL,
    approval_id text,
    created_ms bigint NOT NULL,
    dispatched_ms bigint,
    seen_msat bigint NOT NULL,
    seen_ms bigint,
    ended_ms bigint,
    CONSTRAINT ended CHECK (((state = 'held'::text) = (ended_ms IS NULL))),
    CONSTRAINT hold_amount_msat_check CHECK ((amount_msat >= 0)),
    CONSTRAINT hold_granted_check CHECK ((granted > 0)),
    CONSTRAINT hold_seen_msat_check CHECK ((seen_msat >= 0)),
    CONSTRAINT hold_state_check CHECK ((state = ANY (ARRAY['held'::text, 'settled'::text, 'released'::text]))),
    CONSTRAINT seen CHECK ((seen_msat <= amount_msat))
);


--
-- Name: hold_numbers; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.hold_numbers
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: hold_window; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.hold_window (
    hold_seq bigint NOT NULL,
    agent_id text NOT NULL,
    kind text NOT NULL,
    window_start_ms bigint NOT NULL
);


--
-- Name: job; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.job (
    name text NOT NULL,
    boot_id text NOT NULL,
    until_ms bigint NOT NULL,
    fence bigint NOT NULL
);


--
-- Name: limits; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.limits (
    agent_id text NOT NULL,
    version bigint NOT NULL,
    max_charge_msat bigint,
    daily_msat bigint,
    more text,
    created_ms bigint NOT NULL,
    CONSTRAINT limits_daily_msat_check CHECK ((daily_msat >= 0)),
    CONSTRAINT limits_max_charge_msat_check CHECK ((max_charge_msat >= 0)),
    CONSTRAINT limits_version_check CHECK ((version > 0))
);


--
-- Name: operator; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.operator (
    hash bytea NOT NULL,
    name text NOT NULL,
    created_by text NOT NULL,
    created_ms bigint NOT NULL,
    revoked_ms bigint
);


--
-- Name: operator_session; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.operator_session (
    hash bytea NOT NULL,
    page_hash bytea NOT NULL,
    token_hash bytea NOT NULL,
    created_ms bigint NOT NULL,
    seen_ms bigint NOT NULL
);


--
-- Name: outbox; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.outbox (
    seq bigint NOT NULL,
    event text NOT NULL,
    body text NOT NULL,
    created_ms bigint NOT NULL,
    due_ms bigint NOT NULL,
    attempts bigint NOT NULL,
    delivered_ms bigint,
    last_error text NOT NULL
);


--
-- Name: outbox_seq_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.outbox ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.outbox_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: payment; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.payment (
    seq bigint NOT NULL,
    id text NOT NULL,
    kind text NOT NULL,
    realm text NOT NULL,
    agent_id text,
    owner text NOT NULL,
    key text,
    amount_msat bigint NOT NULL,
    fee_held_msat bigint NOT NULL,
    destination text NOT NULL,
    target text NOT NULL,
    reference text NOT NULL,
    rails text NOT NULL,
    own_request text,
    created_ms bigint NOT NULL,
    state text NOT NULL,
    attempt bigint NOT NULL,
    rail text NOT NULL,
    fee_limit_msat bigint NOT NULL,
    reason text NOT NULL,
    story text NOT NULL,
    due_ms bigint NOT NULL,
    tries bigint NOT NULL,
    fence bigint,
    sent_ms bigint,
    ended_ms bigint,
    fee_msat bigint,
    proof bytea,
    token bytea,
    handed text,
    CONSTRAINT fee_within_hold CHECK ((fee_limit_msat <= fee_held_msat)),
    CONSTRAINT payment_amount_msat_check CHECK ((amount_msat > 0)),
    CONSTRAINT payment_attempt_check CHECK ((attempt > 0)),
    CONSTRAINT payment_ended CHECK (((state = ANY (ARRAY['succeeded'::text, 'failed'::text, 'rejected'::text, 'cancelled'::text])) = (ended_ms IS NOT NULL))),
    CONSTRAINT payment_fee CHECK (((state = 'succeeded'::text) = (fee_msat IS NOT NULL))),
    CONSTRAINT payment_fee_held_msat_check CHECK ((fee_held_msat >= 0)),
    CONSTRAINT payment_fee_limit_msat_check CHECK ((fee_limit_msat >= 0)),
    CONSTRAINT payment_fee_msat_check CHECK ((fee_msat >= 0)),
    CONSTRAINT payment_sent CHECK (((state <> ALL (ARRAY['dispatching'::text, 'in_flight'::text, 'unknown'::text, 'succeeded'::text])) OR (sent_ms IS NOT NULL))),
    CONSTRAINT payment_state_check CHECK ((state = ANY (ARRAY['created'::text, 'reserved'::text, 'dispatching'::text, 'in_flight'::text, 'unknown'::text, 'succeeded'::text, 'failed'::text, 'rejected'::text, 'cancelled'::text])))
);


--
-- Name: payment_seq_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.payment ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.payment_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: place; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.place (
    rail text NOT NULL,
    stream text NOT NULL,
    cursor text NOT NULL,
    moved_ms bigint NOT NULL
);


--
-- Name: plugin_store; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.plugin_store (
    stem text NOT NULL,
    key text NOT NULL,
    value bytea NOT NULL
);


--
-- Name: receipt; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.receipt (
    hold_seq bigint NOT NULL,
    body text NOT NULL,
    at_ms bigint NOT NULL
);


--
-- Name: replay; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.replay (
    hold_seq bigint NOT NULL,
    sealed bytea NOT NULL,
    at_ms bigint NOT NULL
);


--
-- Name: request; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.request (
    seq bigint NOT NULL,
    id text NOT NULL,
    kind text NOT NULL,
    purpose text NOT NULL,
    realm text NOT NULL,
    rail text NOT NULL,
    agent_id text,
    subject text NOT NULL,
    amount_msat bigint NOT NULL,
    fee_msat bigint NOT NULL,
    memo text NOT NULL,
    created_ms bigint NOT NULL,
    reference text,
    text text,
    sealed bytea,
    state text NOT NULL,
    reason text NOT NULL,
    due_ms bigint NOT NULL,
    tries bigint NOT NULL,
    expires_ms bigint,
    ended_ms bigint,
    CONSTRAINT request_amount_msat_check CHECK ((amount_msat >= 0)),
    CONSTRAINT request_ended CHECK (((state = ANY (ARRAY['asked'::text, 'open'::text])) = (ended_ms IS NULL))),
    CONSTRAINT request_fee_msat_check CHECK ((fee_msat >= 0)),
    CONSTRAINT request_state_check CHECK ((state = ANY (ARRAY['asked'::text, 'open'::text, 'paid'::text, 'refused'::text, 'cancelled'::text, 'expired'::text])))
);


--
-- Name: request_log; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.request_log (
    id text NOT NULL,
    at_ms bigint NOT NULL,
    agent_id text NOT NULL,
    model text NOT NULL,
    provider text NOT NULL,
    status bigint NOT NULL,
    outcome text NOT NULL,
    charged_msat bigint NOT NULL,
    total_ms bigint NOT NULL,
    tier text DEFAULT ''::text NOT NULL,
    streamed bigint DEFAULT 0 NOT NULL,
    input_tokens bigint DEFAULT 0 NOT NULL,
    output_tokens bigint DEFAULT 0 NOT NULL,
    first_byte_ms bigint DEFAULT 0 NOT NULL
);


--
-- Name: request_seq_seq; Type: SEQUENCE; Schema: public; Owner: -
--

ALTER TABLE public.request ALTER COLUMN seq ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.request_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);


--
-- Name: schema; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.schema (
    room text NOT NULL,
    version bigint NOT NULL,
    name text NOT NULL,
    at_ms bigint NOT NULL
);


--
-- Name: seller; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.seller (
    name text NOT NULL,
    realm text NOT NULL,
    destination text NOT NULL,
    threshold_msat bigint NOT NULL,
    every_seconds bigint NOT NULL,
    enabled bigint NOT NULL,
    set_ms bigint NOT NULL,
    CONSTRAINT seller_enabled_check CHECK ((enabled = ANY (ARRAY[(0)::bigint, (1)::bigint]))),
    CONSTRAINT seller_every_seconds_check CHECK ((every_seconds > 0)),
    CONSTRAINT seller_threshold_msat_check CHECK ((threshold_msat > 0))
);


--
-- Name: solvency; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.solvency (
    realm text NOT NULL,
    at_ms bigint NOT NULL,
    below bigint NOT NULL,
    body text NOT NULL,
    CONSTRAINT solvency_below_check CHECK ((below >= 0))
);


--
-- Name: token; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.token (
    hash bytea NOT NULL,
    agent_id text NOT NULL,
    created_ms bigint NOT NULL,
    revoked_ms bigint
);


--
-- Name: transfer; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.transfer (
    seq bigint NOT NULL,
    kind text NOT NULL,
    realm text NOT NULL,
    hold_seq bigint,
    key text,
    amount_msat bigint NOT NULL,
    refers_to bigint,
    at_ms bigint NOT NULL,
    memo text NOT NULL,
    CONSTRAINT one_cause CHECK (((hold_seq IS NULL) <> (key IS NULL))),
    CONSTRAINT release_is_empty CHECK (((kind <> 'release'::text) OR (amount_msat = 0))),
    CONSTRAINT transfer_amount_msat_check CHECK ((amount_msat >= 0))
);


--
-- Name: transfer_numbers; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.transfer_numbers
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Data for Name: account; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.account (id, name, realm, kind, constrained, posted_msat, held_msat, last_hold, last_transfer) VALUES (17, 'asset:wallet_simulated', 'sim', 'asset', 1, 1005000000, 0, 0, 9);
INSERT INTO public.account (id, name, realm, kind, constrained, posted_msat, held_msat, last_hold, last_transfer) VALUES (9, 'equity:operator', 'sim', 'equity', 1, 0, 0, 0, 10);
INSERT INTO public.account (id, name, realm, kind, constrained, posted_msat, held_msat, last_hold, last_transfer) VALUES (33, 'income:sales', 'sim', 'income', 0, 0, 0, 0, 0);
INSERT INTO public.account (id, name, realm, kind, constrained, posted_msat, held_msat, last_hold, last_transfer) VALUES (41, 'cost:provider', 'sim', 'cost', 0, 0, 0, 0, 0);
INSERT INTO public.account (id, name, realm, kind, constrained, posted_msat, held_msat, last_hold, last_transfer) VALUES (49, 'payable:providers_openai.x', 'sim', 'payable', 0, 0, 0, 0, 0);
INSERT INTO public.account (id, name, realm, kind, constrained, posted_msat, held_msat, last_hold, last_transfer) VALUES (1, 'agent:ag_01a220a450cf780b4ea08d8e8121', 'sim', 'agent', 1, 999999814, 0, 10, 34);
INSERT INTO public.account (id, name, realm, kind, constrained, posted_msat, held_msat, last_hold, last_transfer) VALUES (25, 'agent:ag_01a220a45116a2095cf5a9a0ae2f', 'sim', 'agent', 1, 4999907, 0, 13, 28);


--
-- Data for Name: agent; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.agent (id, name, realm, account_id, parent_id, depth, enabled, created_ms) VALUES ('ag_01a220a450cf780b4ea08d8e8121', 'alice', 'sim', 1, NULL, 1, 1, 1795843969234);
INSERT INTO public.agent (id, name, realm, account_id, parent_id, depth, enabled, created_ms) VALUES ('ag_01a220a45159015eeb019524e137', 'alice.helper', 'sim', 1, 'ag_01a220a450cf780b4ea08d8e8121', 2, 1, 1795843969370);
INSERT INTO public.agent (id, name, realm, account_id, parent_id, depth, enabled, created_ms) VALUES ('ag_01a220a45116a2095cf5a9a0ae2f', 'bob', 'sim', 25, NULL, 1, 0, 1795843969305);


--
-- Data for Name: alert; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: approval; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.approval (id, agent_id, account_id, kind, digest, ceiling_msat, models, limits_version, state, created_ms, expires_ms, decided_ms, decided_by, hold_id) VALUES ('apr_4817df6e0040ad8835a02af05831', 'ag_01a220a450cf780b4ea08d8e8121', 1, 'call', '\x0207fe29c6f383670cdaff07b378e18c17e0c10c8f34ea0d4aa792b6e5eb981b', 4000341, '["m"]', 1, 'pending', 1795843969623, 1795844569623, NULL, NULL, NULL);


--
-- Data for Name: audit; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (1, 0, 1, 1795843968577, 'arbstr', 'key.adopt', 'audit.key', '[1,"1c45335d977ce78dacbb0c46a8788b9752a8e5b6c4f363988e1bb90eeba36325",1795843968577]', '\x277dd7724ed6578ead27dd42a7ceea09962688b2f3a782f93369fc2e7b8db883');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (2, 0, 1, 1795843969234, 'arbstr', 'account.open', 'agent:ag_01a220a450cf780b4ea08d8e8121@sim', '[1,"agent:ag_01a220a450cf780b4ea08d8e8121","sim","agent",1]', '\x6c0b63525a2fcc84a79f8836f65b9c357b2dd974f3f69fe24e8f3eecf0a8675f');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (3, 0, 1, 1795843969234, 'operator', 'agent.create', 'ag_01a220a450cf780b4ea08d8e8121', '["ag_01a220a450cf780b4ea08d8e8121","alice","sim",1,null,1,1795843969234]', '\x3c49c957fa1ba8ea205d5f6fcab90b981699883d1ca63f09cd99d531203037d7');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (4, 0, 1, 1795843969234, 'operator', 'token.add', 'ag_01a220a450cf780b4ea08d8e8121', '["f7905486d53a8f8e717a2143360a0d0170868e8590715ecc1c40933d7e9a4252","ag_01a220a450cf780b4ea08d8e8121",1795843969234]', '\x4a5d5bebd0768206fe568d0f66bf7e4e6261c3fc8f40fe35e713a091dbfead42');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (5, 0, 1, 1795843969234, 'operator', 'limits.set', 'ag_01a220a450cf780b4ea08d8e8121', '["ag_01a220a450cf780b4ea08d8e8121",1,1000000,10000000000000,"{\"approval_seconds\":600,\"alert_cooldown_seconds\":3600}",1795843969234]', '\x4c477d899b421297cb6c7ddecd33ca8466f5dfe7e1cb1a70575fb56053c33a7b');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (6, 0, 1, 1795843969234, 'arbstr', 'account.open', 'equity:operator@sim', '[9,"equity:operator","sim","equity",1]', '\x5131c8adafca12cac48cb239db5fe16d81ed0b75641ce9cd0dc6ea665280f0b0');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (7, 0, 1, 1795843969234, 'arbstr', 'account.open', 'asset:wallet_simulated@sim', '[17,"asset:wallet_simulated","sim","asset",1]', '\x53fceb16ac8206d3bbf1393c913b2c5159e60c846d62c3225a033e228e33327f');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (8, 0, 1, 1795843969234, 'arbstr', 'ledger', 'from transfer 1 to transfer 2', '[["transfer",1,"197371028439546736bd1d7cba92720b78518543aa958235b11b54ef53cabd7c"]]', '\xc2a4d0ff7325c5206e1ba4622dcb5e6cffb30b3056ca15385e9227c84d3ef93a');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (9, 0, 1, 1795843969305, 'arbstr', 'account.open', 'agent:ag_01a220a45116a2095cf5a9a0ae2f@sim', '[25,"agent:ag_01a220a45116a2095cf5a9a0ae2f","sim","agent",1]', '\x6af7d23be8d4834e60c1cbbb5052abbc2798bcd4a8bae93a27f1e2a001c0f4d4');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (10, 0, 1, 1795843969305, 'operator', 'agent.create', 'ag_01a220a45116a2095cf5a9a0ae2f', '["ag_01a220a45116a2095cf5a9a0ae2f","bob","sim",25,null,1,1795843969305]', '\x74dc0715ef8e1fc680ea927ca476ccdc4f6e7a2306df0dd07fed9eef96781da4');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (11, 0, 1, 1795843969305, 'operator', 'token.add', 'ag_01a220a45116a2095cf5a9a0ae2f', '["c4f3626064e2d733d19a14436747a14d71efdf604d37626927ec4fe2918323e5","ag_01a220a45116a2095cf5a9a0ae2f",1795843969305]', '\x0341a016e4dbee342e0f754fc88e339335352a870d79a954a59f046456b7d976');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (12, 0, 1, 1795843969305, 'operator', 'limits.set', 'ag_01a220a45116a2095cf5a9a0ae2f', '["ag_01a220a45116a2095cf5a9a0ae2f",1,1000000000000,10000000000000,null,1795843969305]', '\x10789c50eb52d3e669440a5ba2ab7c2f62c7602410a0e9b63ecac0b74f1589f5');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (13, 0, 1, 1795843969305, 'arbstr', 'ledger', 'from transfer 9 to transfer 10', '[["transfer",9,"b0892d84a9723d25f02fb0405511a9c8f804b4880404dd3847dbf024d2144cf8"]]', '\x8101b4604be29356ee356275e5e96007576aaeae897c84ed31b4c0d075574c1c');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (14, 0, 1, 1795843969370, 'ag_01a220a450cf780b4ea08d8e8121', 'agent.create', 'ag_01a220a45159015eeb019524e137', '["ag_01a220a45159015eeb019524e137","alice.helper","sim",1,"ag_01a220a450cf780b4ea08d8e8121",2,1795843969370]', '\x580c5bec8bc0f3b1cd0b46f5c5e018dc22dc258facf991fd73f44abc13de7ed9');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (15, 0, 1, 1795843969370, 'ag_01a220a450cf780b4ea08d8e8121', 'token.add', 'ag_01a220a45159015eeb019524e137', '["05424892514e5f980e65e025ef164024f72bd526e8e8754def11091decec6a14","ag_01a220a45159015eeb019524e137",1795843969370]', '\x3f55d3f82a9866e74c37340e17d59ae5f67842c24ee4c8357d8ea83991fc3ae9');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (16, 0, 1, 1795843969370, 'ag_01a220a450cf780b4ea08d8e8121', 'limits.set', 'ag_01a220a45159015eeb019524e137', '["ag_01a220a45159015eeb019524e137",1,1000000,1000000,null,1795843969370]', '\x6adbfc4590005ee77cad51ee7a93e0aaacfe6253b1f598196caf60749a6a6397');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (17, 0, 1, 1795843969391, 'arbstr', 'ledger', 'from hold 2 to hold 2', '[["hold",2,"f7d14836c111c1364a437d2023a6f014"]]', '\x03a5452f8c2b4a55aca16088fcc55c0f73e41cf469aaeba1f07f843966b0b463');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (18, 0, 1, 1795843969408, 'arbstr', 'account.open', 'income:sales@sim', '[33,"income:sales","sim","income",0]', '\x4621cdd97b8f4e1c66fb729220804745ae5d4b45f1183aadf30195e0982d942d');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (19, 0, 1, 1795843969408, 'arbstr', 'account.open', 'cost:provider@sim', '[41,"cost:provider","sim","cost",0]', '\xa8137ec65e6c5c18c5ff9cd143a7de7589a797d5a848d2e44812a32cdd27fd45');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (20, 0, 1, 1795843969408, 'arbstr', 'account.open', 'payable:providers_openai.x@sim', '[49,"payable:providers_openai.x","sim","payable",0]', '\x65cd3404ceeb0979968bffebb13a1a6e917c7a077e5a1f1c430f9bebe1586fc7');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (21, 0, 1, 1795843969408, 'arbstr', 'ledger', 'from transfer 18 to transfer 18', '[["transfer",18,"52bd584493ec6138ae9bf6dc54ccd19a"]]', '\xa9a1345e53364cfb59f0c365ab247f73bf87481ab57c8aa92b413cfd9942aaa7');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (22, 0, 1, 1795843969430, 'arbstr', 'ledger', 'from hold 3 to hold 3', '[["hold",3,"4703d9578065640c12ced370ca01b2ab"]]', '\x135540b9c814c6cd0edf0834386ba1f196aadf53f7af9d04bc47c381abe19a1d');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (23, 0, 1, 1795843969438, 'arbstr', 'ledger', 'from transfer 20 to transfer 20', '[["transfer",20,"bf4ab9e754cb43f6c3ab96e58b1ee301"]]', '\x0b51c85d599508961eb90f1ce562807f4ada9571f1bc84721db38e6c204d6fd0');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (24, 0, 1, 1795843969443, 'arbstr', 'ledger', 'from hold 4 to hold 4', '[["hold",4,"d0df09532caeb9b3b96f32605ce7b03c"]]', '\x6d458a030e791754458d73d404d458379e43c922af49fa6411b9592ebd64ee04');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (25, 0, 1, 1795843969450, 'arbstr', 'ledger', 'from transfer 22 to transfer 22', '[["transfer",22,"e1921f1841d5ca919c0920b148f8aea0"]]', '\x949b36f0d22231d28210407c550405f44af4c6a83fdd8ad6f06929909341de33');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (26, 0, 1, 1795843969463, 'arbstr', 'ledger', 'from hold 5 to hold 5', '[["hold",5,"e6f157116ce3eab123e608c8d8749773"]]', '\x22b4102aa68f80021c09b6331a145b47b92df272169036ca212e03a375972af2');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (27, 0, 1, 1795843969465, 'arbstr', 'ledger', 'from transfer 24 to transfer 24', '[["transfer",24,"248390ef8edeca1e07eda61c5e8f2b4b"]]', '\xdb8d6f63e6acaf0d1d204bf678bb90b810555e05b091030625f7ea6a19758170');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (28, 0, 1, 1795843969475, 'arbstr', 'ledger', 'from hold 6 to hold 6', '[["hold",6,"2f2d9e4fa1baf5500105c4b478521804"]]', '\xfd3109bc0dc63ab56492ed06672779d945db65c547e39755ad05834d082c4502');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (29, 0, 1, 1795843969495, 'arbstr', 'ledger', 'from transfer 26 to transfer 26', '[["transfer",26,"1bab5b653822ece7bda052590d25e68f"]]', '\x8dad1c7b0f4e7d7a9fbc4c80fc26873d712951338e2ee0221e5c6aa4f5311d08');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (30, 0, 1, 1795843969503, 'arbstr', 'ledger', 'from hold 7 to hold 7', '[["hold",7,"de6009cc66c6089a862c08329f15f996"]]', '\xa427fcd4525b5759ed9523f47666489bfce695a5e40e22a7adbad3221e7215d2');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (31, 0, 1, 1795843969506, 'arbstr', 'ledger', 'from transfer 28 to transfer 28', '[["transfer",28,"fea878823498cfffb62a26b2a60a00e6"]]', '\x2eac52cd1f1a894cfd7cf45f74bd89247e70b2d3be126f63029007f09394d29d');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (32, 0, 1, 1795843969524, 'arbstr', 'ledger', 'from hold 8 to hold 8', '[["hold",8,"a2d9586275e6580d86587f6dc3c83c05"]]', '\x1b884d84a731b621320bb6b385916dca16a952d593c0e349c24b2b1b9a6b28ef');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (33, 0, 1, 1795843969536, 'arbstr', 'ledger', 'from transfer 30 to transfer 30', '[["transfer",30,"d08d6ea1bc0c426e06070d0779c1c941"]]', '\x9ed6fae4bc198969272e353a1a4d12a2b08132d656e31432d6fdfd57c9fcc071');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (34, 0, 1, 1795843969567, 'arbstr', 'ledger', 'from hold 9 to hold 9', '[["hold",9,"a7f1e23af9096a0bc22c7bc702251c61"]]', '\x3f9107022e5d530ffb1cb5b28223e0f57048f415e5fb79551723299d5ce140fb');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (35, 0, 1, 1795843969575, 'arbstr', 'ledger', 'from transfer 32 to transfer 32', '[["transfer",32,"739eae917e18008e2575101b90a3dd2d"]]', '\xe1f2d26ff440b9ffdeda95d470f604c5be3ae599eb8043cb29cefd018980902c');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (36, 0, 1, 1795843969585, 'arbstr', 'ledger', 'from hold 10 to hold 10', '[["hold",10,"12ecf342b100ea768e9fc9906844fef4"]]', '\x1b7052a94df598f705ed730f46e220f33655423b11e388a42885e3e664846965');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (37, 0, 1, 1795843969594, 'arbstr', 'ledger', 'from transfer 34 to transfer 34', '[["transfer",34,"bd95f596c339208258bec5c3c9cd20ee"]]', '\xfb0ac840508a8913f3df5d1142ea3c9fd73513e93e2d4c58f557e7563c528350');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (38, 0, 1, 1795843969623, 'ag_01a220a450cf780b4ea08d8e8121', 'approval.ask', 'apr_4817df6e0040ad8835a02af05831', '["apr_4817df6e0040ad8835a02af05831","ag_01a220a450cf780b4ea08d8e8121",1,"call","0207fe29c6f383670cdaff07b378e18c17e0c10c8f34ea0d4aa792b6e5eb981b",4000341,"[\"m\"]",1,"pending",1795843969623,1795844569623,null]', '\x9fd8042e36e7fc4d8875efc879f6e753fd2df395f1293ffd803f50ac4ef27738');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (39, 0, 1, 1795843969643, 'arbstr', 'ledger', 'from hold 13 to hold 13', '[["hold",13,"f84e38116daa1a945500dfd915f8415a"]]', '\xa88c39e56c9c37cf5acf7b83746fcfee0c00beff34d8f2857fb15b84e7b387fc');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (40, 0, 1, 1795843969648, 'arbstr', 'ledger', 'from transfer 38 to transfer 38', '[["transfer",38,"09491b6e2ff926ab049d8f72f880ff56"]]', '\xfe91d6639ddb757ac3a40588296f00072b1bce461c5918e43242033915582626');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (41, 0, 1, 1795843969673, 'operator', 'agent.enabled', 'ag_01a220a45116a2095cf5a9a0ae2f', '["ag_01a220a45116a2095cf5a9a0ae2f",0]', '\x18e4370b65230aaed3150fc66fd6a1a82409e9b0832863295b15279963b71d9e');
INSERT INTO public.audit (seq, epoch, format, at_ms, actor, action, subject, data, hash) VALUES (42, 0, 1, 1795843969700, 'operator', 'operator.add', 'pat', '["41619351a3fb2914aa71b86b461a7c223197340498dac3ed6f5dbddd3d5f1aae","pat","operator",1795843969700]', '\xb7f90eaf5a7754478e6f9b428dbb6ef950bd4680bbde4d92dbb02b1f1d3ec38a');


--
-- Data for Name: audit_key; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.audit_key (n, public_key, adopted_ms) VALUES (1, '\x1c45335d977ce78dacbb0c46a8788b9752a8e5b6c4f363988e1bb90eeba36325', 1795843968577);


--
-- Data for Name: audit_pending; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: boot; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.boot (id, started_ms, lease_until_ms, ended_ms) VALUES ('775ed927a6ab4084', 1795843968617, 1795843998617, 1795843970343);


--
-- Data for Name: bucket; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.bucket (agent_id, kind, window_start_ms, used) VALUES ('ag_01a220a45159015eeb019524e137', 'day', 1795824000000, 93);
INSERT INTO public.bucket (agent_id, kind, window_start_ms, used) VALUES ('ag_01a220a450cf780b4ea08d8e8121', 'day', 1795824000000, 186);
INSERT INTO public.bucket (agent_id, kind, window_start_ms, used) VALUES ('ag_01a220a45116a2095cf5a9a0ae2f', 'day', 1795824000000, 93);


--
-- Data for Name: checkpoint; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.checkpoint (audit_seq, at_ms, body, key_id, signature) VALUES (13, 1795843969732, '{"ledger":"277dd7724ed6578ead27dd42a7ceea09962688b2f3a782f93369fc2e7b8db883","epoch":0,"seq":13,"hash":"8101b4604be29356ee356275e5e96007576aaeae897c84ed31b4c0d075574c1c","holds":10,"transfers":14,"entries":44,"at_ms":1795843969732}', 'b8838f74d6735fc9', '\xfe0c77e9784be32aa05262e714a9794cc56158b0452a0f57a440bd7cde94acd42609946becea0d29f1299ec7400f43c8a48e1ff73bdba4afb9b07ed4c0c7bc0a');


--
-- Data for Name: cipher_check; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.cipher_check (key_id, sealed) VALUES ('1dcb72d07242c075', '\x1dcb72d07242c075693e89167e936dc3e3013c46806f37c64297666ac91a073200a5e9cd38ef03786e8b');


--
-- Data for Name: claim; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: deposit; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: entry; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (1, 1, 17, 'debit', 1000000000, 0);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (1, 2, 9, 'credit', 1000000000, 0);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (2, 1, 9, 'debit', 1000000000, 1);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (2, 2, 1, 'credit', 1000000000, 0);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (9, 1, 17, 'debit', 5000000, 1);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (9, 2, 9, 'credit', 5000000, 2);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (10, 1, 9, 'debit', 5000000, 9);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (10, 2, 25, 'credit', 5000000, 0);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (18, 1, 1, 'debit', 31, 2);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (18, 2, 33, 'credit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (18, 3, 41, 'debit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (18, 4, 49, 'credit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (20, 1, 1, 'debit', 31, 18);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (20, 2, 33, 'credit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (20, 3, 41, 'debit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (20, 4, 49, 'credit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (22, 1, 1, 'debit', 31, 20);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (22, 2, 33, 'credit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (22, 3, 41, 'debit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (22, 4, 49, 'credit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (24, 1, 25, 'debit', 31, 10);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (24, 2, 33, 'credit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (24, 3, 41, 'debit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (24, 4, 49, 'credit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (26, 1, 25, 'debit', 31, 24);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (26, 2, 33, 'credit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (26, 3, 41, 'debit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (26, 4, 49, 'credit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (28, 1, 25, 'debit', 31, 26);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (28, 2, 33, 'credit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (28, 3, 41, 'debit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (28, 4, 49, 'credit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (30, 1, 1, 'debit', 31, 22);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (30, 2, 33, 'credit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (30, 3, 41, 'debit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (30, 4, 49, 'credit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (32, 1, 1, 'debit', 31, 30);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (32, 2, 33, 'credit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (32, 3, 41, 'debit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (32, 4, 49, 'credit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (34, 1, 1, 'debit', 31, 32);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (34, 2, 33, 'credit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (34, 3, 41, 'debit', 31, NULL);
INSERT INTO public.entry (transfer_seq, n, account_id, side, amount_msat, previous_seq) VALUES (34, 4, 49, 'credit', 31, NULL);


--
-- Data for Name: frozen; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: hold; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.hold (seq, id, agent_id, account_id, kind, amount_msat, state, boot_id, window_start_ms, windows, model, candidates, granted, previous_seq, approval_id, created_ms, dispatched_ms, seen_msat, seen_ms, ended_ms) VALUES (2, 'req_01a220a4516cb5fe7fd88ef7345b', 'ag_01a220a450cf780b4ea08d8e8121', 1, 'call', 16704, 'settled', '775ed927a6ab4084', 1795824000000, 0, 'm', '[{"provider":"providers_openai.x","node":"","upstream":"m","ceiling_msat":16704,"input_limit":320,"output_limit":4096,"price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_price":null}]', 1, 0, NULL, 1795843969391, 1795843969391, 10, NULL, 1795843969408);
INSERT INTO public.hold (seq, id, agent_id, account_id, kind, amount_msat, state, boot_id, window_start_ms, windows, model, candidates, granted, previous_seq, approval_id, created_ms, dispatched_ms, seen_msat, seen_ms, ended_ms) VALUES (3, 'req_01a220a45191677abf603a12c638', 'ag_01a220a450cf780b4ea08d8e8121', 1, 'call', 16704, 'settled', '775ed927a6ab4084', 1795824000000, 0, 'm', '[{"provider":"providers_openai.x","node":"","upstream":"m","ceiling_msat":16704,"input_limit":320,"output_limit":4096,"price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_price":null}]', 1, 2, NULL, 1795843969430, 1795843969430, 10, NULL, 1795843969438);
INSERT INTO public.hold (seq, id, agent_id, account_id, kind, amount_msat, state, boot_id, window_start_ms, windows, model, candidates, granted, previous_seq, approval_id, created_ms, dispatched_ms, seen_msat, seen_ms, ended_ms) VALUES (4, 'req_01a220a451a10037a3f5a2604b83', 'ag_01a220a450cf780b4ea08d8e8121', 1, 'call', 16704, 'settled', '775ed927a6ab4084', 1795824000000, 0, 'm', '[{"provider":"providers_openai.x","node":"","upstream":"m","ceiling_msat":16704,"input_limit":320,"output_limit":4096,"price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_price":null}]', 1, 3, NULL, 1795843969443, 1795843969443, 10, NULL, 1795843969450);
INSERT INTO public.hold (seq, id, agent_id, account_id, kind, amount_msat, state, boot_id, window_start_ms, windows, model, candidates, granted, previous_seq, approval_id, created_ms, dispatched_ms, seen_msat, seen_ms, ended_ms) VALUES (5, 'req_01a220a451ae475a7bffc79576a7', 'ag_01a220a45116a2095cf5a9a0ae2f', 25, 'call', 16704, 'settled', '775ed927a6ab4084', 1795824000000, 0, 'm', '[{"provider":"providers_openai.x","node":"","upstream":"m","ceiling_msat":16704,"input_limit":320,"output_limit":4096,"price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_price":null}]', 1, 0, NULL, 1795843969463, 1795843969463, 10, NULL, 1795843969465);
INSERT INTO public.hold (seq, id, agent_id, account_id, kind, amount_msat, state, boot_id, window_start_ms, windows, model, candidates, granted, previous_seq, approval_id, created_ms, dispatched_ms, seen_msat, seen_ms, ended_ms) VALUES (6, 'req_01a220a451bfec0f9abe7d853af2', 'ag_01a220a45116a2095cf5a9a0ae2f', 25, 'call', 16704, 'settled', '775ed927a6ab4084', 1795824000000, 0, 'm', '[{"provider":"providers_openai.x","node":"","upstream":"m","ceiling_msat":16704,"input_limit":320,"output_limit":4096,"price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_price":null}]', 1, 5, NULL, 1795843969475, 1795843969475, 10, NULL, 1795843969495);
INSERT INTO public.hold (seq, id, agent_id, account_id, kind, amount_msat, state, boot_id, window_start_ms, windows, model, candidates, granted, previous_seq, approval_id, created_ms, dispatched_ms, seen_msat, seen_ms, ended_ms) VALUES (7, 'req_01a220a451dcbacbe5bf4451240b', 'ag_01a220a45116a2095cf5a9a0ae2f', 25, 'call', 16704, 'settled', '775ed927a6ab4084', 1795824000000, 0, 'm', '[{"provider":"providers_openai.x","node":"","upstream":"m","ceiling_msat":16704,"input_limit":320,"output_limit":4096,"price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_price":null}]', 1, 6, NULL, 1795843969503, 1795843969503, 10, NULL, 1795843969506);
INSERT INTO public.hold (seq, id, agent_id, account_id, kind, amount_msat, state, boot_id, window_start_ms, windows, model, candidates, granted, previous_seq, approval_id, created_ms, dispatched_ms, seen_msat, seen_ms, ended_ms) VALUES (8, 'req_01a220a451ea20d1eff4928f824a', 'ag_01a220a45159015eeb019524e137', 1, 'call', 16704, 'settled', '775ed927a6ab4084', 1795824000000, 1, 'm', '[{"provider":"providers_openai.x","node":"","upstream":"m","ceiling_msat":16704,"input_limit":320,"output_limit":4096,"price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_price":null}]', 1, 4, NULL, 1795843969524, 1795843969524, 10, NULL, 1795843969536);
INSERT INTO public.hold (seq, id, agent_id, account_id, kind, amount_msat, state, boot_id, window_start_ms, windows, model, candidates, granted, previous_seq, approval_id, created_ms, dispatched_ms, seen_msat, seen_ms, ended_ms) VALUES (9, 'req_01a220a4521b8a5f80b50996d812', 'ag_01a220a45159015eeb019524e137', 1, 'call', 16704, 'settled', '775ed927a6ab4084', 1795824000000, 1, 'm', '[{"provider":"providers_openai.x","node":"","upstream":"m","ceiling_msat":16704,"input_limit":320,"output_limit":4096,"price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_price":null}]', 1, 8, NULL, 1795843969567, 1795843969567, 10, NULL, 1795843969575);
INSERT INTO public.hold (seq, id, agent_id, account_id, kind, amount_msat, state, boot_id, window_start_ms, windows, model, candidates, granted, previous_seq, approval_id, created_ms, dispatched_ms, seen_msat, seen_ms, ended_ms) VALUES (10, 'req_01a220a4522fac79e6f4df541e48', 'ag_01a220a45159015eeb019524e137', 1, 'call', 16704, 'settled', '775ed927a6ab4084', 1795824000000, 1, 'm', '[{"provider":"providers_openai.x","node":"","upstream":"m","ceiling_msat":16704,"input_limit":320,"output_limit":4096,"price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_price":null}]', 1, 9, NULL, 1795843969585, 1795843969585, 10, NULL, 1795843969594);
INSERT INTO public.hold (seq, id, agent_id, account_id, kind, amount_msat, state, boot_id, window_start_ms, windows, model, candidates, granted, previous_seq, approval_id, created_ms, dispatched_ms, seen_msat, seen_ms, ended_ms) VALUES (13, 'req_01a220a45267472949096bb7efee', 'ag_01a220a45116a2095cf5a9a0ae2f', 25, 'call', 16704, 'released', '775ed927a6ab4084', 1795824000000, 0, 'm', '[{"provider":"providers_openai.x","node":"","upstream":"m","ceiling_msat":16704,"input_limit":320,"output_limit":4096,"price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_price":null}]', 1, 7, NULL, 1795843969643, 1795843969643, 10, NULL, 1795843969648);


--
-- Data for Name: hold_window; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.hold_window (hold_seq, agent_id, kind, window_start_ms) VALUES (8, 'ag_01a220a450cf780b4ea08d8e8121', 'day', 1795824000000);
INSERT INTO public.hold_window (hold_seq, agent_id, kind, window_start_ms) VALUES (9, 'ag_01a220a450cf780b4ea08d8e8121', 'day', 1795824000000);
INSERT INTO public.hold_window (hold_seq, agent_id, kind, window_start_ms) VALUES (10, 'ag_01a220a450cf780b4ea08d8e8121', 'day', 1795824000000);


--
-- Data for Name: job; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.job (name, boot_id, until_ms, fence) VALUES ('sealer', '775ed927a6ab4084', 1795843974859, 1);


--
-- Data for Name: limits; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.limits (agent_id, version, max_charge_msat, daily_msat, more, created_ms) VALUES ('ag_01a220a450cf780b4ea08d8e8121', 1, 1000000, 10000000000000, '{"approval_seconds":600,"alert_cooldown_seconds":3600}', 1795843969234);
INSERT INTO public.limits (agent_id, version, max_charge_msat, daily_msat, more, created_ms) VALUES ('ag_01a220a45116a2095cf5a9a0ae2f', 1, 1000000000000, 10000000000000, NULL, 1795843969305);
INSERT INTO public.limits (agent_id, version, max_charge_msat, daily_msat, more, created_ms) VALUES ('ag_01a220a45159015eeb019524e137', 1, 1000000, 1000000, NULL, 1795843969370);


--
-- Data for Name: operator; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.operator (hash, name, created_by, created_ms, revoked_ms) VALUES ('\x1a849bfebe2e19abc27feb30d8aba55021a4e4cb3a46dc4c4830b2915565e3c0', 'pat', 'operator', 1795843969700, NULL);


--
-- Data for Name: operator_session; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: outbox; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.outbox (seq, event, body, created_ms, due_ms, attempts, delivered_ms, last_error) OVERRIDING SYSTEM VALUE VALUES (1, 'approval_required', '{"approval":"apr_4817df6e0040ad8835a02af05831","agent":"ag_01a220a450cf780b4ea08d8e8121","kind":"call","ceiling_msat":4000341,"models":["m"],"expires_ms":1795844569623}', 1795843969623, 1795843969623, 0, NULL, '');


--
-- Data for Name: payment; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: place; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: plugin_store; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: receipt; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.receipt (hold_seq, body, at_ms) VALUES (2, '{"endpoint":"chat/completions","model":"m","provider":"providers_openai.x","ending":"complete","stream":false,"usage":{"input_tokens":11,"cached_input_tokens":0,"output_tokens":5,"source":"provider"},"attempts":[{"provider":"providers_openai.x","outcome":"served","ms":0,"detail":""}],"reasons":["cheapest: providers_openai.x is expected to cost 16400 msat for 16 tokens in, 4096 out; nobody else qualifies"],"alternatives":[],"first_byte_ms":19,"total_ms":19,"strategy":"cheapest","upstream":"m","node":"","tier":"standard","price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_msat":31}', 1795843969408);
INSERT INTO public.receipt (hold_seq, body, at_ms) VALUES (3, '{"endpoint":"chat/completions","model":"m","provider":"providers_openai.x","ending":"complete","stream":false,"usage":{"input_tokens":11,"cached_input_tokens":0,"output_tokens":5,"source":"provider"},"attempts":[{"provider":"providers_openai.x","outcome":"served","ms":0,"detail":""}],"reasons":["cheapest: providers_openai.x is expected to cost 36 msat for 16 tokens in, 5 out; nobody else qualifies"],"alternatives":[],"first_byte_ms":12,"total_ms":12,"strategy":"cheapest","upstream":"m","node":"","tier":"standard","price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_msat":31}', 1795843969438);
INSERT INTO public.receipt (hold_seq, body, at_ms) VALUES (4, '{"endpoint":"chat/completions","model":"m","provider":"providers_openai.x","ending":"complete","stream":false,"usage":{"input_tokens":11,"cached_input_tokens":0,"output_tokens":5,"source":"provider"},"attempts":[{"provider":"providers_openai.x","outcome":"served","ms":0,"detail":""}],"reasons":["cheapest: providers_openai.x is expected to cost 36 msat for 16 tokens in, 5 out; nobody else qualifies"],"alternatives":[],"first_byte_ms":8,"total_ms":8,"strategy":"cheapest","upstream":"m","node":"","tier":"standard","price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_msat":31}', 1795843969450);
INSERT INTO public.receipt (hold_seq, body, at_ms) VALUES (5, '{"endpoint":"chat/completions","model":"m","provider":"providers_openai.x","ending":"complete","stream":false,"usage":{"input_tokens":11,"cached_input_tokens":0,"output_tokens":5,"source":"provider"},"attempts":[{"provider":"providers_openai.x","outcome":"served","ms":0,"detail":""}],"reasons":["cheapest: providers_openai.x is expected to cost 36 msat for 16 tokens in, 5 out; nobody else qualifies"],"alternatives":[],"first_byte_ms":2,"total_ms":2,"strategy":"cheapest","upstream":"m","node":"","tier":"standard","price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_msat":31}', 1795843969465);
INSERT INTO public.receipt (hold_seq, body, at_ms) VALUES (6, '{"endpoint":"chat/completions","model":"m","provider":"providers_openai.x","ending":"complete","stream":false,"usage":{"input_tokens":11,"cached_input_tokens":0,"output_tokens":5,"source":"provider"},"attempts":[{"provider":"providers_openai.x","outcome":"served","ms":3,"detail":""}],"reasons":["cheapest: providers_openai.x is expected to cost 36 msat for 16 tokens in, 5 out; nobody else qualifies"],"alternatives":[],"first_byte_ms":11,"total_ms":11,"strategy":"cheapest","upstream":"m","node":"","tier":"standard","price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_msat":31}', 1795843969495);
INSERT INTO public.receipt (hold_seq, body, at_ms) VALUES (7, '{"endpoint":"chat/completions","model":"m","provider":"providers_openai.x","ending":"complete","stream":false,"usage":{"input_tokens":11,"cached_input_tokens":0,"output_tokens":5,"source":"provider"},"attempts":[{"provider":"providers_openai.x","outcome":"served","ms":0,"detail":""}],"reasons":["cheapest: providers_openai.x is expected to cost 36 msat for 16 tokens in, 5 out; nobody else qualifies"],"alternatives":[],"first_byte_ms":5,"total_ms":5,"strategy":"cheapest","upstream":"m","node":"","tier":"standard","price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_msat":31}', 1795843969506);
INSERT INTO public.receipt (hold_seq, body, at_ms) VALUES (8, '{"endpoint":"chat/completions","model":"m","provider":"providers_openai.x","ending":"complete","stream":false,"usage":{"input_tokens":11,"cached_input_tokens":0,"output_tokens":5,"source":"provider"},"attempts":[{"provider":"providers_openai.x","outcome":"served","ms":0,"detail":""}],"reasons":["cheapest: providers_openai.x is expected to cost 36 msat for 16 tokens in, 5 out; nobody else qualifies"],"alternatives":[],"first_byte_ms":11,"total_ms":11,"strategy":"cheapest","upstream":"m","node":"","tier":"standard","price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_msat":31}', 1795843969536);
INSERT INTO public.receipt (hold_seq, body, at_ms) VALUES (9, '{"endpoint":"chat/completions","model":"m","provider":"providers_openai.x","ending":"complete","stream":false,"usage":{"input_tokens":11,"cached_input_tokens":0,"output_tokens":5,"source":"provider"},"attempts":[{"provider":"providers_openai.x","outcome":"served","ms":0,"detail":""}],"reasons":["cheapest: providers_openai.x is expected to cost 36 msat for 16 tokens in, 5 out; nobody else qualifies"],"alternatives":[],"first_byte_ms":8,"total_ms":9,"strategy":"cheapest","upstream":"m","node":"","tier":"standard","price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_msat":31}', 1795843969575);
INSERT INTO public.receipt (hold_seq, body, at_ms) VALUES (10, '{"endpoint":"chat/completions","model":"m","provider":"providers_openai.x","ending":"complete","stream":false,"usage":{"input_tokens":11,"cached_input_tokens":0,"output_tokens":5,"source":"provider"},"attempts":[{"provider":"providers_openai.x","outcome":"served","ms":0,"detail":""}],"reasons":["cheapest: providers_openai.x is expected to cost 36 msat for 16 tokens in, 5 out; nobody else qualifies"],"alternatives":[],"first_byte_ms":9,"total_ms":9,"strategy":"cheapest","upstream":"m","node":"","tier":"standard","price":{"type":"msat","input":1000000,"cached_input":1000000,"output":4000000,"request":0},"cost_msat":31}', 1795843969594);
INSERT INTO public.receipt (hold_seq, body, at_ms) VALUES (13, '{"endpoint":"chat/completions","model":"m","provider":null,"ending":"failed","stream":false,"usage":{"input_tokens":0,"cached_input_tokens":0,"output_tokens":0,"source":"none"},"attempts":[{"provider":"providers_openai.x","outcome":"refused","ms":0,"detail":"answered 500"}],"reasons":["cheapest: providers_openai.x is expected to cost 36 msat for 16 tokens in, 5 out; nobody else qualifies"],"alternatives":[],"first_byte_ms":null,"total_ms":8,"strategy":"cheapest"}', 1795843969648);


--
-- Data for Name: replay; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: request; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: request_log; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.request_log (id, at_ms, agent_id, model, provider, status, outcome, charged_msat, total_ms, tier, streamed, input_tokens, output_tokens, first_byte_ms) VALUES ('req_01a220a4516cb5fe7fd88ef7345b', 1795843969423, 'ag_01a220a450cf780b4ea08d8e8121', 'm', 'providers_openai.x', 200, 'complete', 31, 34, 'standard', 0, 11, 5, 19);
INSERT INTO public.request_log (id, at_ms, agent_id, model, provider, status, outcome, charged_msat, total_ms, tier, streamed, input_tokens, output_tokens, first_byte_ms) VALUES ('req_01a220a45191677abf603a12c638', 1795843969440, 'ag_01a220a450cf780b4ea08d8e8121', 'm', 'providers_openai.x', 200, 'complete', 31, 15, 'standard', 0, 11, 5, 12);
INSERT INTO public.request_log (id, at_ms, agent_id, model, provider, status, outcome, charged_msat, total_ms, tier, streamed, input_tokens, output_tokens, first_byte_ms) VALUES ('req_01a220a451a10037a3f5a2604b83', 1795843969453, 'ag_01a220a450cf780b4ea08d8e8121', 'm', 'providers_openai.x', 200, 'complete', 31, 11, 'standard', 0, 11, 5, 8);
INSERT INTO public.request_log (id, at_ms, agent_id, model, provider, status, outcome, charged_msat, total_ms, tier, streamed, input_tokens, output_tokens, first_byte_ms) VALUES ('req_01a220a451ae475a7bffc79576a7', 1795843969469, 'ag_01a220a45116a2095cf5a9a0ae2f', 'm', 'providers_openai.x', 200, 'complete', 31, 6, 'standard', 0, 11, 5, 2);
INSERT INTO public.request_log (id, at_ms, agent_id, model, provider, status, outcome, charged_msat, total_ms, tier, streamed, input_tokens, output_tokens, first_byte_ms) VALUES ('req_01a220a451bfec0f9abe7d853af2', 1795843969498, 'ag_01a220a45116a2095cf5a9a0ae2f', 'm', 'providers_openai.x', 200, 'complete', 31, 27, 'standard', 0, 11, 5, 11);
INSERT INTO public.request_log (id, at_ms, agent_id, model, provider, status, outcome, charged_msat, total_ms, tier, streamed, input_tokens, output_tokens, first_byte_ms) VALUES ('req_01a220a451dcbacbe5bf4451240b', 1795843969513, 'ag_01a220a45116a2095cf5a9a0ae2f', 'm', 'providers_openai.x', 200, 'complete', 31, 13, 'standard', 0, 11, 5, 5);
INSERT INTO public.request_log (id, at_ms, agent_id, model, provider, status, outcome, charged_msat, total_ms, tier, streamed, input_tokens, output_tokens, first_byte_ms) VALUES ('req_01a220a451ea20d1eff4928f824a', 1795843969545, 'ag_01a220a45159015eeb019524e137', 'm', 'providers_openai.x', 200, 'complete', 31, 20, 'standard', 0, 11, 5, 11);
INSERT INTO public.request_log (id, at_ms, agent_id, model, provider, status, outcome, charged_msat, total_ms, tier, streamed, input_tokens, output_tokens, first_byte_ms) VALUES ('req_01a220a4521b8a5f80b50996d812', 1795843969582, 'ag_01a220a45159015eeb019524e137', 'm', 'providers_openai.x', 200, 'complete', 31, 19, 'standard', 0, 11, 5, 8);
INSERT INTO public.request_log (id, at_ms, agent_id, model, provider, status, outcome, charged_msat, total_ms, tier, streamed, input_tokens, output_tokens, first_byte_ms) VALUES ('req_01a220a4522fac79e6f4df541e48', 1795843969602, 'ag_01a220a45159015eeb019524e137', 'm', 'providers_openai.x', 200, 'complete', 31, 18, 'standard', 0, 11, 5, 9);
INSERT INTO public.request_log (id, at_ms, agent_id, model, provider, status, outcome, charged_msat, total_ms, tier, streamed, input_tokens, output_tokens, first_byte_ms) VALUES ('req_01a220a4524391f935b76ad4de3f', 1795843969637, 'ag_01a220a450cf780b4ea08d8e8121', 'm', '', 403, 'ApprovalRequired', 0, 33, '', 0, 0, 0, 0);
INSERT INTO public.request_log (id, at_ms, agent_id, model, provider, status, outcome, charged_msat, total_ms, tier, streamed, input_tokens, output_tokens, first_byte_ms) VALUES ('req_01a220a45267472949096bb7efee', 1795843969657, 'ag_01a220a45116a2095cf5a9a0ae2f', 'm', '', 502, 'UpstreamFailed', 0, 17, '', 0, 0, 0, 0);


--
-- Data for Name: schema; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.schema (room, version, name, at_ms) VALUES ('storage', 1, 'cipher check, plugin store', 1795843968000);
INSERT INTO public.schema (room, version, name, at_ms) VALUES ('vault', 1, 'agents, holds, transfers, audit', 1795843968000);
INSERT INTO public.schema (room, version, name, at_ms) VALUES ('vault', 2, 'the audit key in force', 1795843968000);
INSERT INTO public.schema (room, version, name, at_ms) VALUES ('vault', 3, 'requests, deposits, payments', 1795843968000);
INSERT INTO public.schema (room, version, name, at_ms) VALUES ('vault', 4, 'minutes that are over are forgotten', 1795843968000);
INSERT INTO public.schema (room, version, name, at_ms) VALUES ('vault', 5, 'operators and their sessions', 1795843968000);
INSERT INTO public.schema (room, version, name, at_ms) VALUES ('journal', 1, 'request log', 1795843968000);
INSERT INTO public.schema (room, version, name, at_ms) VALUES ('journal', 2, 'tier, tokens and first byte of a call', 1795843968000);


--
-- Data for Name: seller; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: solvency; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: token; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.token (hash, agent_id, created_ms, revoked_ms) VALUES ('\xfb85e96e298203ecf79e4a0198fcb3ee04e23c5494f114e000e5b15ca0d9b620', 'ag_01a220a450cf780b4ea08d8e8121', 1795843969234, NULL);
INSERT INTO public.token (hash, agent_id, created_ms, revoked_ms) VALUES ('\x28d9ab03ca36d2f8f7fcd8787874fe81ef250304e5f92c5884ec4e3ea6060f67', 'ag_01a220a45116a2095cf5a9a0ae2f', 1795843969305, NULL);
INSERT INTO public.token (hash, agent_id, created_ms, revoked_ms) VALUES ('\x028bc7317e1aa48f895cbd71ab5932d802df7a124d57a8bf464fa78bdf627815', 'ag_01a220a45159015eeb019524e137', 1795843969370, NULL);


--
-- Data for Name: transfer; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.transfer (seq, kind, realm, hold_seq, key, amount_msat, refers_to, at_ms, memo) VALUES (1, 'capital', 'sim', NULL, 'capital:create:ag_01a220a450cf780b4ea08d8e8121', 1000000000, NULL, 1795843969234, '');
INSERT INTO public.transfer (seq, kind, realm, hold_seq, key, amount_msat, refers_to, at_ms, memo) VALUES (2, 'fund', 'sim', NULL, 'create:ag_01a220a450cf780b4ea08d8e8121', 1000000000, NULL, 1795843969234, 'ag_01a220a450cf780b4ea08d8e8121 from wallet_simulated');
INSERT INTO public.transfer (seq, kind, realm, hold_seq, key, amount_msat, refers_to, at_ms, memo) VALUES (9, 'capital', 'sim', NULL, 'capital:create:ag_01a220a45116a2095cf5a9a0ae2f', 5000000, NULL, 1795843969305, '');
INSERT INTO public.transfer (seq, kind, realm, hold_seq, key, amount_msat, refers_to, at_ms, memo) VALUES (10, 'fund', 'sim', NULL, 'create:ag_01a220a45116a2095cf5a9a0ae2f', 5000000, NULL, 1795843969305, 'ag_01a220a45116a2095cf5a9a0ae2f from wallet_simulated');
INSERT INTO public.transfer (seq, kind, realm, hold_seq, key, amount_msat, refers_to, at_ms, memo) VALUES (18, 'settle', 'sim', 2, NULL, 31, NULL, 1795843969408, '');
INSERT INTO public.transfer (seq, kind, realm, hold_seq, key, amount_msat, refers_to, at_ms, memo) VALUES (20, 'settle', 'sim', 3, NULL, 31, NULL, 1795843969438, '');
INSERT INTO public.transfer (seq, kind, realm, hold_seq, key, amount_msat, refers_to, at_ms, memo) VALUES (22, 'settle', 'sim', 4, NULL, 31, NULL, 1795843969450, '');
INSERT INTO public.transfer (seq, kind, realm, hold_seq, key, amount_msat, refers_to, at_ms, memo) VALUES (24, 'settle', 'sim', 5, NULL, 31, NULL, 1795843969465, '');
INSERT INTO public.transfer (seq, kind, realm, hold_seq, key, amount_msat, refers_to, at_ms, memo) VALUES (26, 'settle', 'sim', 6, NULL, 31, NULL, 1795843969495, '');
INSERT INTO public.transfer (seq, kind, realm, hold_seq, key, amount_msat, refers_to, at_ms, memo) VALUES (28, 'settle', 'sim', 7, NULL, 31, NULL, 1795843969506, '');
INSERT INTO public.transfer (seq, kind, realm, hold_seq, key, amount_msat, refers_to, at_ms, memo) VALUES (30, 'settle', 'sim', 8, NULL, 31, NULL, 1795843969536, '');
INSERT INTO public.transfer (seq, kind, realm, hold_seq, key, amount_msat, refers_to, at_ms, memo) VALUES (32, 'settle', 'sim', 9, NULL, 31, NULL, 1795843969575, '');
INSERT INTO public.transfer (seq, kind, realm, hold_seq, key, amount_msat, refers_to, at_ms, memo) VALUES (34, 'settle', 'sim', 10, NULL, 31, NULL, 1795843969594, '');
INSERT INTO public.transfer (seq, kind, realm, hold_seq, key, amount_msat, refers_to, at_ms, memo) VALUES (38, 'release', 'sim', 13, NULL, 0, NULL, 1795843969648, '');


--
-- Name: account_numbers; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.account_numbers', 56, true);


--
-- Name: audit_pending_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.audit_pending_id_seq', 42, true);


--
-- Name: deposit_seq_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.deposit_seq_seq', 1, false);


--
-- Name: hold_numbers; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.hold_numbers', 14, true);


--
-- Name: outbox_seq_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.outbox_seq_seq', 1, true);


--
-- Name: payment_seq_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.payment_seq_seq', 1, false);


--
-- Name: request_seq_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.request_seq_seq', 1, false);


--
-- Name: transfer_numbers; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.transfer_numbers', 38, true);


--
-- Name: account account_name_realm_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.account
    ADD CONSTRAINT account_name_realm_key UNIQUE (name, realm);


--
-- Name: account account_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.account
    ADD CONSTRAINT account_pkey PRIMARY KEY (id);


--
-- Name: agent agent_name_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.agent
    ADD CONSTRAINT agent_name_key UNIQUE (name);


--
-- Name: agent agent_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.agent
    ADD CONSTRAINT agent_pkey PRIMARY KEY (id);


--
-- Name: alert alert_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.alert
    ADD CONSTRAINT alert_pkey PRIMARY KEY (agent_id, kind);


--
-- Name: approval approval_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.approval
    ADD CONSTRAINT approval_pkey PRIMARY KEY (id);


--
-- Name: audit_key audit_key_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.audit_key
    ADD CONSTRAINT audit_key_pkey PRIMARY KEY (n);


--
-- Name: audit_pending audit_pending_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.audit_pending
    ADD CONSTRAINT audit_pending_pkey PRIMARY KEY (id);


--
-- Name: audit audit_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.audit
    ADD CONSTRAINT audit_pkey PRIMARY KEY (seq);


--
-- Name: boot boot_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.boot
    ADD CONSTRAINT boot_pkey PRIMARY KEY (id);


--
-- Name: bucket bucket_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.bucket
    ADD CONSTRAINT bucket_pkey PRIMARY KEY (agent_id, kind, window_start_ms);


--
-- Name: checkpoint checkpoint_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.checkpoint
    ADD CONSTRAINT checkpoint_pkey PRIMARY KEY (audit_seq);


--
-- Name: cipher_check cipher_check_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.cipher_check
    ADD CONSTRAINT cipher_check_pkey PRIMARY KEY (key_id);


--
-- Name: claim claim_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.claim
    ADD CONSTRAINT claim_pkey PRIMARY KEY (slot, account_id, digest);


--
-- Name: deposit deposit_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.deposit
    ADD CONSTRAINT deposit_pkey PRIMARY KEY (seq);


--
-- Name: deposit deposit_rail_reference_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.deposit
    ADD CONSTRAINT deposit_rail_reference_key UNIQUE (rail, reference);


--
-- Name: entry entry_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.entry
    ADD CONSTRAINT entry_pkey PRIMARY KEY (transfer_seq, n);


--
-- Name: frozen frozen_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.frozen
    ADD CONSTRAINT frozen_pkey PRIMARY KEY (scope);


--
-- Name: hold hold_id_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.hold
    ADD CONSTRAINT hold_id_key UNIQUE (id);


--
-- Name: hold hold_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.hold
    ADD CONSTRAINT hold_pkey PRIMARY KEY (seq);


--
-- Name: hold_window hold_window_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.hold_window
    ADD CONSTRAINT hold_window_pkey PRIMARY KEY (hold_seq, agent_id, kind);


--
-- Name: job job_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.job
    ADD CONSTRAINT job_pkey PRIMARY KEY (name);


--
-- Name: limits limits_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.limits
    ADD CONSTRAINT limits_pkey PRIMARY KEY (agent_id, version);


--
-- Name: operator operator_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.operator
    ADD CONSTRAINT operator_pkey PRIMARY KEY (hash);


--
-- Name: operator_session operator_session_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.operator_session
    ADD CONSTRAINT operator_session_pkey PRIMARY KEY (hash);


--
-- Name: outbox outbox_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (seq);


--
-- Name: payment payment_id_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.payment
    ADD CONSTRAINT payment_id_key UNIQUE (id);


--
-- Name: payment payment_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.payment
    ADD CONSTRAINT payment_pkey PRIMARY KEY (seq);


--
-- Name: place place_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.place
    ADD CONSTRAINT place_pkey PRIMARY KEY (rail, stream);


--
-- Name: plugin_store plugin_store_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.plugin_store
    ADD CONSTRAINT plugin_store_pkey PRIMARY KEY (stem, key);


--
-- Name: receipt receipt_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.receipt
    ADD CONSTRAINT receipt_pkey PRIMARY KEY (hold_seq);


--
-- Name: replay replay_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.replay
    ADD CONSTRAINT replay_pkey PRIMARY KEY (hold_seq);


--
-- Name: request request_id_key; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.request
    ADD CONSTRAINT request_id_key UNIQUE (id);


--
-- Name: request_log request_log_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.request_log
    ADD CONSTRAINT request_log_pkey PRIMARY KEY (id);


--
-- Name: request request_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.request
    ADD CONSTRAINT request_pkey PRIMARY KEY (seq);


--
-- Name: schema schema_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.schema
    ADD CONSTRAINT schema_pkey PRIMARY KEY (room, version);


--
-- Name: seller seller_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.seller
    ADD CONSTRAINT seller_pkey PRIMARY KEY (name, realm);


--
-- Name: solvency solvency_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.solvency
    ADD CONSTRAINT solvency_pkey PRIMARY KEY (realm);


--
-- Name: token token_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.token
    ADD CONSTRAINT token_pkey PRIMARY KEY (hash);


--
-- Name: transfer transfer_pkey; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.transfer
    ADD CONSTRAINT transfer_pkey PRIMARY KEY (seq);


--
-- Name: approval_of; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX approval_of ON public.approval USING btree (account_id, digest) WHERE (state = ANY (ARRAY['pending'::text, 'granted'::text, 'held'::text]));


--
-- Name: audit_subject; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX audit_subject ON public.audit USING btree (subject, seq) WHERE (action <> 'ledger'::text);


--
-- Name: child_of_agent; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX child_of_agent ON public.agent USING btree (parent_id) WHERE (parent_id IS NOT NULL);


--
-- Name: correction_of; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX correction_of ON public.transfer USING btree (refers_to) WHERE (refers_to IS NOT NULL);


--
-- Name: deposit_of_agent; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX deposit_of_agent ON public.deposit USING btree (agent_id, seq);


--
-- Name: due_payment; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX due_payment ON public.payment USING btree (due_ms) WHERE (state = ANY (ARRAY['reserved'::text, 'dispatching'::text, 'in_flight'::text, 'unknown'::text]));


--
-- Name: live_operator; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX live_operator ON public.operator USING btree (name) WHERE (revoked_ms IS NULL);


--
-- Name: open_hold; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX open_hold ON public.hold USING btree (account_id) WHERE (state = 'held'::text);


--
-- Name: open_request; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX open_request ON public.request USING btree (due_ms) WHERE (state = ANY (ARRAY['asked'::text, 'open'::text]));


--
-- Name: payment_key; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX payment_key ON public.payment USING btree (owner, key) WHERE (key IS NOT NULL);


--
-- Name: payment_of_owner; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX payment_of_owner ON public.payment USING btree (owner, seq);


--
-- Name: payment_reference; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX payment_reference ON public.payment USING btree (realm, reference) WHERE (state = ANY (ARRAY['created'::text, 'reserved'::text, 'dispatching'::text, 'in_flight'::text, 'unknown'::text, 'succeeded'::text]));


--
-- Name: request_of_agent; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX request_of_agent ON public.request USING btree (agent_id, seq);


--
-- Name: request_reference; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX request_reference ON public.request USING btree (rail, reference) WHERE (reference IS NOT NULL);


--
-- Name: token_of_agent; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX token_of_agent ON public.token USING btree (agent_id);


--
-- Name: transfer_key; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX transfer_key ON public.transfer USING btree (key) WHERE (key IS NOT NULL);


--
-- Name: transfer_of_hold; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX transfer_of_hold ON public.transfer USING btree (hold_seq) WHERE (hold_seq IS NOT NULL);


--
-- Name: undelivered; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX undelivered ON public.outbox USING btree (seq) WHERE (delivered_ms IS NULL);


--
-- Name: account account_fixed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER account_fixed BEFORE UPDATE OF id, name, realm, kind, constrained ON public.account FOR EACH ROW EXECUTE FUNCTION public.account_fixed();


--
-- Name: account account_no_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER account_no_delete BEFORE DELETE ON public.account FOR EACH ROW EXECUTE FUNCTION public.account_no_delete();


--
-- Name: account account_no_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER account_no_truncate BEFORE TRUNCATE ON public.account FOR EACH STATEMENT EXECUTE FUNCTION public.account_no_truncate();


--
-- Name: agent agent_fixed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER agent_fixed BEFORE UPDATE OF id, name, realm, account_id, parent_id, depth, created_ms ON public.agent FOR EACH ROW EXECUTE FUNCTION public.agent_fixed();


--
-- Name: agent agent_no_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER agent_no_delete BEFORE DELETE ON public.agent FOR EACH ROW EXECUTE FUNCTION public.agent_no_delete();


--
-- Name: agent agent_no_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER agent_no_truncate BEFORE TRUNCATE ON public.agent FOR EACH STATEMENT EXECUTE FUNCTION public.agent_no_truncate();


--
-- Name: approval approval_decided; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER approval_decided BEFORE UPDATE ON public.approval FOR EACH ROW EXECUTE FUNCTION public.approval_decided();


--
-- Name: approval approval_fixed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER approval_fixed BEFORE UPDATE OF id, agent_id, account_id, kind, digest, ceiling_msat, models, limits_version, created_ms ON public.approval FOR EACH ROW EXECUTE FUNCTION public.approval_fixed();


--
-- Name: approval approval_no_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER approval_no_delete BEFORE DELETE ON public.approval FOR EACH ROW EXECUTE FUNCTION public.approval_no_delete();


--
-- Name: approval approval_no_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER approval_no_truncate BEFORE TRUNCATE ON public.approval FOR EACH STATEMENT EXECUTE FUNCTION public.approval_no_truncate();


--
-- Name: audit_key audit_key_no_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER audit_key_no_delete BEFORE DELETE ON public.audit_key FOR EACH ROW EXECUTE FUNCTION public.audit_key_no_delete();


--
-- Name: audit_key audit_key_no_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER audit_key_no_truncate BEFORE TRUNCATE ON public.audit_key FOR EACH STATEMENT EXECUTE FUNCTION public.audit_key_no_truncate();


--
-- Name: audit_key audit_key_no_update; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER audit_key_no_update BEFORE UPDATE ON public.audit_key FOR EACH ROW EXECUTE FUNCTION public.audit_key_no_update();


--
-- Name: audit audit_no_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER audit_no_delete BEFORE DELETE ON public.audit FOR EACH ROW EXECUTE FUNCTION public.audit_no_delete();


--
-- Name: audit audit_no_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON public.audit FOR EACH STATEMENT EXECUTE FUNCTION public.audit_no_truncate();


--
-- Name: audit audit_no_update; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER audit_no_update BEFORE UPDATE ON public.audit FOR EACH ROW EXECUTE FUNCTION public.audit_no_update();


--
-- Name: audit_pending audit_pending_no_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER audit_pending_no_truncate BEFORE TRUNCATE ON public.audit_pending FOR EACH STATEMENT EXECUTE FUNCTION public.audit_pending_no_truncate();


--
-- Name: audit_pending audit_pending_no_update; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER audit_pending_no_update BEFORE UPDATE ON public.audit_pending FOR EACH ROW EXECUTE FUNCTION public.audit_pending_no_update();


--
-- Name: bucket bucket_fixed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER bucket_fixed BEFORE UPDATE OF agent_id, kind, window_start_ms ON public.bucket FOR EACH ROW EXECUTE FUNCTION public.bucket_fixed();


--
-- Name: bucket bucket_no_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER bucket_no_delete BEFORE DELETE ON public.bucket FOR EACH ROW EXECUTE FUNCTION public.bucket_no_delete();


--
-- Name: bucket bucket_no_insert_over; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER bucket_no_insert_over AFTER INSERT ON public.bucket REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION public.bucket_no_insert_over();


--
-- Name: bucket bucket_no_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER bucket_no_truncate BEFORE TRUNCATE ON public.bucket FOR EACH STATEMENT EXECUTE FUNCTION public.bucket_no_truncate();


--
-- Name: checkpoint checkpoint_no_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER checkpoint_no_delete BEFORE DELETE ON public.checkpoint FOR EACH ROW EXECUTE FUNCTION public.checkpoint_no_delete();


--
-- Name: checkpoint checkpoint_no_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER checkpoint_no_truncate BEFORE TRUNCATE ON public.checkpoint FOR EACH STATEMENT EXECUTE FUNCTION public.checkpoint_no_truncate();


--
-- Name: checkpoint checkpoint_no_update; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER checkpoint_no_update BEFORE UPDATE ON public.checkpoint FOR EACH ROW EXECUTE FUNCTION public.checkpoint_no_update();


--
-- Name: deposit deposit_no_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER deposit_no_delete BEFORE DELETE ON public.deposit FOR EACH ROW EXECUTE FUNCTION public.deposit_no_delete();


--
-- Name: deposit deposit_no_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER deposit_no_truncate BEFORE TRUNCATE ON public.deposit FOR EACH STATEMENT EXECUTE FUNCTION public.deposit_no_truncate();


--
-- Name: deposit deposit_no_update; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER deposit_no_update BEFORE UPDATE ON public.deposit FOR EACH ROW EXECUTE FUNCTION public.deposit_no_update();


--
-- Name: entry entry_no_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER entry_no_delete BEFORE DELETE ON public.entry FOR EACH ROW EXECUTE FUNCTION public.entry_no_delete();


--
-- Name: entry entry_no_insert_over; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER entry_no_insert_over AFTER INSERT ON public.entry REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION public.entry_no_insert_over();


--
-- Name: entry entry_no_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER entry_no_truncate BEFORE TRUNCATE ON public.entry FOR EACH STATEMENT EXECUTE FUNCTION public.entry_no_truncate();


--
-- Name: entry entry_no_update; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER entry_no_update BEFORE UPDATE ON public.entry FOR EACH ROW EXECUTE FUNCTION public.entry_no_update();


--
-- Name: frozen frozen_no_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER frozen_no_delete BEFORE DELETE ON public.frozen FOR EACH ROW EXECUTE FUNCTION public.frozen_no_delete();


--
-- Name: frozen frozen_no_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER frozen_no_truncate BEFORE TRUNCATE ON public.frozen FOR EACH STATEMENT EXECUTE FUNCTION public.frozen_no_truncate();


--
-- Name: hold hold_fixed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER hold_fixed BEFORE UPDATE ON public.hold FOR EACH ROW EXECUTE FUNCTION public.hold_fixed();


--
-- Name: hold hold_no_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER hold_no_delete BEFORE DELETE ON public.hold FOR EACH ROW EXECUTE FUNCTION public.hold_no_delete();


--
-- Name: hold hold_no_insert_over; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER hold_no_insert_over AFTER INSERT ON public.hold REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION public.hold_no_insert_over();


--
-- Name: hold hold_no_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER hold_no_truncate BEFORE TRUNCATE ON public.hold FOR EACH STATEMENT EXECUTE FUNCTION public.hold_no_truncate();


--
-- Name: hold_window hold_window_no_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER hold_window_no_delete BEFORE DELETE ON public.hold_window FOR EACH ROW EXECUTE FUNCTION public.hold_window_no_delete();


--
-- Name: hold_window hold_window_no_insert_over; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER hold_window_no_insert_over AFTER INSERT ON public.hold_window REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION public.hold_window_no_insert_over();


--
-- Name: hold_window hold_window_no_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER hold_window_no_truncate BEFORE TRUNCATE ON public.hold_window FOR EACH STATEMENT EXECUTE FUNCTION public.hold_window_no_truncate();


--
-- Name: hold_window hold_window_no_update; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER hold_window_no_update BEFORE UPDATE ON public.hold_window FOR EACH ROW EXECUTE FUNCTION public.hold_window_no_update();


--
-- Name: limits limits_no_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER limits_no_delete BEFORE DELETE ON public.limits FOR EACH ROW EXECUTE FUNCTION public.limits_no_delete();


--
-- Name: limits limits_no_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER limits_no_truncate BEFORE TRUNCATE ON public.limits FOR EACH STATEMENT EXECUTE FUNCTION public.limits_no_truncate();


--
-- Name: limits limits_no_update; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER limits_no_update BEFORE UPDATE ON public.limits FOR EACH ROW EXECUTE FUNCTION public.limits_no_update();


--
-- Name: operator operator_fixed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER operator_fixed BEFORE UPDATE OF hash, name, created_by, created_ms ON public.operator FOR EACH ROW EXECUTE FUNCTION public.operator_fixed();


--
-- Name: operator operator_no_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER operator_no_delete BEFORE DELETE ON public.operator FOR EACH ROW EXECUTE FUNCTION public.operator_no_delete();


--
-- Name: operator operator_no_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER operator_no_truncate BEFORE TRUNCATE ON public.operator FOR EACH STATEMENT EXECUTE FUNCTION public.operator_no_truncate();


--
-- Name: operator operator_revoked; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER operator_revoked BEFORE UPDATE ON public.operator FOR EACH ROW EXECUTE FUNCTION public.operator_revoked();


--
-- Name: payment payment_fixed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER payment_fixed BEFORE UPDATE ON public.payment FOR EACH ROW EXECUTE FUNCTION public.payment_fixed();


--
-- Name: payment payment_no_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER payment_no_delete BEFORE DELETE ON public.payment FOR EACH ROW EXECUTE FUNCTION public.payment_no_delete();


--
-- Name: payment payment_no_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER payment_no_truncate BEFORE TRUNCATE ON public.payment FOR EACH STATEMENT EXECUTE FUNCTION public.payment_no_truncate();


--
-- Name: receipt receipt_no_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER receipt_no_delete BEFORE DELETE ON public.receipt FOR EACH ROW EXECUTE FUNCTION public.receipt_no_delete();


--
-- Name: receipt receipt_no_insert_over; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER receipt_no_insert_over AFTER INSERT ON public.receipt REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION public.receipt_no_insert_over();


--
-- Name: receipt receipt_no_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER receipt_no_truncate BEFORE TRUNCATE ON public.receipt FOR EACH STATEMENT EXECUTE FUNCTION public.receipt_no_truncate();


--
-- Name: receipt receipt_no_update; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER receipt_no_update BEFORE UPDATE ON public.receipt FOR EACH ROW EXECUTE FUNCTION public.receipt_no_update();


--
-- Name: request request_fixed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER request_fixed BEFORE UPDATE ON public.request FOR EACH ROW EXECUTE FUNCTION public.request_fixed();


--
-- Name: request request_no_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER request_no_delete BEFORE DELETE ON public.request FOR EACH ROW EXECUTE FUNCTION public.request_no_delete();


--
-- Name: request request_no_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER request_no_truncate BEFORE TRUNCATE ON public.request FOR EACH STATEMENT EXECUTE FUNCTION public.request_no_truncate();


--
-- Name: seller seller_no_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER seller_no_delete BEFORE DELETE ON public.seller FOR EACH ROW EXECUTE FUNCTION public.seller_no_delete();


--
-- Name: seller seller_no_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER seller_no_truncate BEFORE TRUNCATE ON public.seller FOR EACH STATEMENT EXECUTE FUNCTION public.seller_no_truncate();


--
-- Name: token token_fixed; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER token_fixed BEFORE UPDATE OF hash, agent_id, created_ms ON public.token FOR EACH ROW EXECUTE FUNCTION public.token_fixed();


--
-- Name: token token_no_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER token_no_delete BEFORE DELETE ON public.token FOR EACH ROW EXECUTE FUNCTION public.token_no_delete();


--
-- Name: token token_no_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER token_no_truncate BEFORE TRUNCATE ON public.token FOR EACH STATEMENT EXECUTE FUNCTION public.token_no_truncate();


--
-- Name: token token_revoked; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER token_revoked BEFORE UPDATE ON public.token FOR EACH ROW EXECUTE FUNCTION public.token_revoked();


--
-- Name: transfer transfer_no_delete; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER transfer_no_delete BEFORE DELETE ON public.transfer FOR EACH ROW EXECUTE FUNCTION public.transfer_no_delete();


--
-- Name: transfer transfer_no_insert_over; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER transfer_no_insert_over AFTER INSERT ON public.transfer REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION public.transfer_no_insert_over();


--
-- Name: transfer transfer_no_truncate; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER transfer_no_truncate BEFORE TRUNCATE ON public.transfer FOR EACH STATEMENT EXECUTE FUNCTION public.transfer_no_truncate();


--
-- Name: transfer transfer_no_update; Type: TRIGGER; Schema: public; Owner: -
--

CREATE TRIGGER transfer_no_update BEFORE UPDATE ON public.transfer FOR EACH ROW EXECUTE FUNCTION public.transfer_no_update();


--
-- Name: agent agent_account_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.agent
    ADD CONSTRAINT agent_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.account(id);


--
-- Name: agent agent_parent_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.agent
    ADD CONSTRAINT agent_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES public.agent(id);


--
-- Name: alert alert_agent_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.alert
    ADD CONSTRAINT alert_agent_id_fkey FOREIGN KEY (agent_id) REFERENCES public.agent(id);


--
-- Name: approval approval_account_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.approval
    ADD CONSTRAINT approval_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.account(id);


--
-- Name: approval approval_agent_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.approval
    ADD CONSTRAINT approval_agent_id_fkey FOREIGN KEY (agent_id) REFERENCES public.agent(id);


--
-- Name: claim claim_account_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.claim
    ADD CONSTRAINT claim_account_id_fkey FOREIGN KEY (account_id) REFERENCES public.account(id);


--
-- Name: deposit deposit_agent_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.deposit
    ADD CONSTRAINT deposit_agent_id_fkey FOREIGN KEY (agent_id) REFERENCES public.agent(id);


--
-- Name: deposit deposit_request_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.deposit
    ADD CONSTRAINT deposit_request_id_fkey FOREIGN KEY (request_id) REFERENCES public.request(id);


--
-- Name: deposit deposit_transfer_seq_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.deposit
    ADD CONSTRAINT deposit_transfer_seq_fkey FOREIGN KEY (transfer_seq) REFERENCES public.transfer(seq) DEFERRABLE INITIALLY DEFERRED;


--
-- Name: limits limits_agent_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.limits
    ADD CONSTRAINT limits_agent_id_fkey FOREIGN KEY (agent_id) REFERENCES public.agent(id);


--
-- Name: payment payment_agent_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.payment
    ADD CONSTRAINT payment_agent_id_fkey FOREIGN KEY (agent_id) REFERENCES public.agent(id);


--
-- Name: payment payment_own_request_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.payment
    ADD CONSTRAINT payment_own_request_fkey FOREIGN KEY (own_request) REFERENCES public.request(id);


--
-- Name: replay replay_hold_seq_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.replay
    ADD CONSTRAINT replay_hold_seq_fkey FOREIGN KEY (hold_seq) REFERENCES public.hold(seq);


--
-- Name: request request_agent_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.request
    ADD CONSTRAINT request_agent_id_fkey FOREIGN KEY (agent_id) REFERENCES public.agent(id);


--
-- Name: token token_agent_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.token
    ADD CONSTRAINT token_agent_id_fkey FOREIGN KEY (agent_id) REFERENCES public.agent(id);


--
-- PostgreSQL database dump complete
--


