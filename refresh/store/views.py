"""Views over the history: what was slow, which assets fail again and again, and when each asset was last done."""

from __future__ import annotations

from refresh.store.tables import OUTCOMES, RUNS, STEPS

VIEWS = {
    "refresh_slowest_steps": f"""
        SELECT s.run_id, s.builder, s.seconds, s.rows, s.assets, round((s.rows / nullif(s.seconds, 0))::numeric)
               AS rows_per_second, s.started_at
        FROM {STEPS} s WHERE s.ended_at IS NOT NULL ORDER BY s.seconds DESC""",
    "refresh_flaky_assets": f"""
        SELECT o.id, o.builder, count(*) FILTER (WHERE o.status = 'failed') AS failures,
               count(*) FILTER (WHERE o.status = 'done') AS successes, sum(o.retries) AS retries,
               max(o.noted_at) FILTER (WHERE o.status = 'failed') AS last_failed_at,
               (array_agg(o.error ORDER BY o.noted_at DESC) FILTER (WHERE o.status = 'failed'))[1] AS last_error
        FROM {OUTCOMES} o JOIN {RUNS} r USING (run_id) WHERE r.started_at > now() - interval '30 days'
        GROUP BY o.id, o.builder HAVING bool_or(o.status = 'failed') OR sum(o.retries) > 0 ORDER BY failures DESC""",
    "refresh_last_good": f"""
        SELECT DISTINCT ON (o.id, o.builder) o.id, o.builder, o.run_id, o.noted_at AS done_at, o.rows, o.reason
        FROM {OUTCOMES} o WHERE o.status = 'done' ORDER BY o.id, o.builder, o.noted_at DESC""",
}
"""The definition of each view by its name."""
