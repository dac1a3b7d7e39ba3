"""Writes the dashboard for Grafana: `python3 .github/dashboard.py > envoy/observability/dashboard.json`.

A panel is a line below: title, unit, and queries with their legends. Numbers and places are given here, so
that a panel can be added or moved without touching the others.
"""

import json

# What stands for `{…}` in a query: the edges, and the authorities, that are chosen above the panels.
EDGE = '{job=~"$edge_job", instance=~"$edge"'
AUTHORITY = '{job=~"$authority_job", instance=~"$authority"'
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24

HEALTH = {"steps": [{"color": "green", "value": None}, {"color": "red", "value": 1}]}


def edge(name, *conditions):
    return name + ", ".join([EDGE, *conditions]) + "}"


def authority(name, *conditions):
    return name + ", ".join([AUTHORITY, *conditions]) + "}"


def rate(series):
    return f"rate({series}[$__rate_interval])"


def by(labels, series):
    return f"sum by ({labels}) ({series})"


def quantiles(buckets, *shares, window="$__rate_interval"):
    counts = by("le", f"rate({buckets}[{window}])")
    return [(f"histogram_quantile({share}, {counts})", f"p{round(share * 100)}") for share in shares]


def rare(buckets, *shares):
    """Of what does not happen every minute: over the last hour."""
    return quantiles(buckets, *shares, window="1h")


def refused(*conditions):
    return edge("portcullis_requests", 'verdict="refused"', *conditions)


IN_ORDER = "accepted|recorded|repeated|ignored|active|inactive"

# Of each row: title, and its panels.
ROWS = [
    ("At a glance", [
        ("stat", "Requests a second", "reqps", [(f"sum({rate(edge('portcullis_requests'))})", "")]),
        ("stat", "Refused, share", "percentunit",
         [(f"sum({rate(refused())}) / (sum({rate(edge('portcullis_requests'))}) > 0) or vector(0)", "")]),
        ("stat", "Edges without a feed", "none",
         [(f"count({edge('portcullis_feed_loaded')} == 0) or vector(0)", "")], HEALTH),
        ("stat", "Oldest feed", "ms", [(f"max({edge('portcullis_feed_staleness_milliseconds')})", "")],
         {"steps": [{"color": "green", "value": None}, {"color": "red", "value": 25000}]}),
        ("stat", "Authorities that cannot write", "none",
         [(f"count({authority('portcullis_store_writable')} == 0) or vector(0)", "")], HEALTH),
        ("stat", "Alerts", "none", [('count(ALERTS{alertstate="firing"}) or vector(0)', "")], HEALTH),
    ]),
    ("Requests", [
        ("graph", "Requests by verdict", "reqps", [(by("verdict", rate(edge("portcullis_requests"))), "{{verdict}}")]),
        ("graph", "Let through, by reason", "reqps",
         [(by("reason", rate(edge("portcullis_requests", 'verdict=~"allowed|served"'))), "{{reason}}")]),
        ("graph", "Refused, by reason", "reqps", [(by("reason", rate(refused())) + " > 0", "{{reason}}")]),
        ("graph", "Refused, share of all requests by reason", "percentunit",
         [('job_reason:portcullis_requests:refused_ratio_rate5m{job=~"$edge_job"} > 0', "{{reason}}")]),
        ("graph", "Requests by provider", "reqps",
         [(by("provider, verdict", rate(edge("portcullis_requests", 'provider!=""'))), "{{provider}}, {{verdict}}")]),
        ("graph", "Verifying a signature", "µs", quantiles(edge("portcullis_verification_microseconds_bucket"), 0.5, 0.9, 0.99)),
        ("graph", "Token cache, share of hits", "percentunit",
         [('job:portcullis_token_cache_hits:ratio_rate5m{job=~"$edge_job"}', "{{job}}")]),
        ("graph", "Token cache, tokens held", "short", [(edge("portcullis_token_cache_entries"), "{{instance}}")]),
    ]),
    ("Feed and keys of edges", [
        ("graph", "Age of the feed", "ms", [(edge("portcullis_feed_staleness_milliseconds"), "{{instance}}")]),
        ("graph", "Last change applied", "short",
         [(edge("portcullis_feed_sequence"), "{{instance}}"),
          (f"max({authority('portcullis_feed_sequence')})", "authority")]),
        ("graph", "Calls to the authority that fail", "reqps",
         [(by("instance, reason", rate(edge("portcullis_feed_failures"))) + " > 0", "{{instance}}, {{reason}}")]),
        ("graph", "What comes from the authority", "reqps",
         [(f"sum({rate(edge('portcullis_feed_' + name))})", name)
          for name in ("batches", "changes", "heartbeats", "generations")]),
        ("graph", "Checks, by answer", "reqps",
         [(f"sum({rate(edge('portcullis_confirmations_' + name))})", name.replace("_", " "))
          for name in ("revoked", "not_revoked", "unanswered")]),
        ("graph", "Tokens not revoked that cause a check", "percentunit",
         [(f"{edge('portcullis_feed_false_positives_per_billion')} / 1e9", "{{instance}}")]),
        ("graph", "Age of keys", "s", [(edge("portcullis_keys_age_seconds"), "{{instance}}, {{provider}}")]),
        ("graph", "Keys in force", "short", [(edge("portcullis_keys_usable"), "{{instance}}, {{provider}}")]),
        ("graph", "Fetches of keys", "reqps",
         [(by("provider, result", rate(edge("portcullis_keys_fetches"))), "{{provider}}, {{result}}")]),
    ]),
    ("Streams and activity at edges", [
        ("graph", "Requests in progress that can be ended", "short",
         [(edge("portcullis_streams_watched"), "{{instance}}")]),
        ("graph", "Requests in progress that were ended", "reqps",
         [(f"sum({rate(edge('portcullis_streams_closed_' + name))})", name)
          for name in ("revoked", "expired", "stale", "unconfirmed")]),
        ("graph", "Reports of sessions", "reqps",
         [(f"sum({rate(edge('portcullis_activity_' + name))})", name) for name in ("reported", "dropped")]),
    ]),
    ("Authority", [
        ("graph", "Entries in force", "short",
         [(f"max({authority('portcullis_entries')})", "tokens, sessions, devices"),
          (f"max({authority('portcullis_cut_offs')})", "cut-offs")]),
        ("graph", "Writes and commits", "reqps",
         [(f"sum({rate(authority('portcullis_' + name + '_total'))})", name) for name in ("writes", "commits")]),
        ("graph", "Requests that the store failed", "reqps",
         [(by("instance", rate(authority("portcullis_write_failures_total"))), "{{instance}}")]),
        ("graph", "Edges", "short",
         [(f"max({authority('portcullis_edges')})", "seen in the last minute"),
          (f"max({authority('portcullis_edges_behind')})", "behind for a second"),
          (f"sum({authority('portcullis_edges_waiting')})", "waiting for changes")]),
        ("graph", "The slowest edge", "s", [(f"max({authority('portcullis_slowest_edge_seconds')})", "lag")]),
        ("graph", "Changes that it lacks", "short", [(f"max({authority('portcullis_slowest_edge_changes')})", "changes")]),
        ("graph", "Checks, by answer (authority)", "reqps",
         [(by("revoked", rate(authority("portcullis_checks_total"))), "revoked: {{revoked}}")]),
        ("graph", "Answers, by status", "reqps",
         [(by("status", rate(authority("portcullis_http_responses_total"))), "{{status}}")]),
        ("graph", "Building a generation, last hour", "s", rare(authority("portcullis_generation_build_seconds_bucket"), 0.5, 0.99)),
        ("graph", "Keeper", "short", [(authority("portcullis_keeper"), "{{instance}}")]),
        ("graph", "Age of what is in memory", "s", [(authority("portcullis_store_age_seconds"), "{{instance}}")]),
        ("graph", "Edges' clocks ahead", "s", [(authority("portcullis_clock_difference_seconds"), "{{instance}}")]),
    ]),
    ("Signals", [
        ("graph", "Signals, by outcome", "reqps",
         [(by("receiver, outcome", rate(authority("portcullis_signals_total"))) + " > 0", "{{receiver}}, {{outcome}}")]),
        ("graph", "Signals refused, last hour", "short",
         [(by("receiver, outcome", f"increase({authority('portcullis_signals_total', f'outcome!~{chr(34)}{IN_ORDER}{chr(34)}')}[1h])")
           + " > 0", "{{receiver}}, {{outcome}}")]),
        ("graph", "From a signal's arrival to the disk, last hour", "s", rare(authority("portcullis_signal_duration_seconds_bucket"), 0.5, 0.99)),
        ("graph", "Age of issuers' keys", "s", [(authority("portcullis_issuer_keys_age_seconds"), "{{issuer}}, {{of}}")]),
        ("graph", "Streams that deliver", "short", [(authority("portcullis_stream_enabled"), "{{stream}}")]),
        ("graph", "Calls to transmitters", "reqps",
         [(by("stream, outcome", rate(authority("portcullis_stream_calls_total"))) + " > 0", "{{stream}}, {{outcome}}")]),
    ]),
    ("Sessions", [
        ("graph", "Sessions in use", "short",
         [(f"max by (window) ({authority('portcullis_sessions_active')})", "{{window}}")]),
        ("graph", "Users with one", "short",
         [(f"max by (window) ({authority('portcullis_session_users_active')})", "{{window}}")]),
        ("graph", "Sessions that have ended, by cause", "reqps",
         [(by("cause", rate(authority("portcullis_sessions_ended_total"))), "{{cause}}")]),
        ("graph", "Length of sessions, last hour", "s", rare(authority("portcullis_session_duration_seconds_bucket"), 0.5, 0.9)),
        ("graph", "Signing out", "reqps",
         [(by("scope, outcome", rate(authority("portcullis_sign_outs_total"))), "{{scope}}, {{outcome}}")]),
        ("graph", "Sessions that look stolen, last hour", "short",
         [(by("kind", f"increase({authority('portcullis_suspicions_total')}[1h])"), "{{kind}}")]),
        ("graph", "Events for the webhook, last hour", "short",
         [(by("outcome", f"increase({authority('portcullis_webhook_events_total')}[1h])"), "{{outcome}}")]),
        ("graph", "Reports of edges", "reqps",
         [(by("outcome", rate(authority("portcullis_session_reports_total"))), "{{outcome}}")]),
        ("graph", "Registry of sessions answers", "short", [(authority("portcullis_session_registry_connected"), "{{instance}}")]),
    ]),
]


def panel(number, place, kind, title, unit, queries, thresholds=None):
    defaults = {"unit": unit, "min": 0, "color": {"mode": "palette-classic"}}
    if "clocks" in title:
        del defaults["min"]
    targets = [
        {"refId": chr(ord("A") + index), "datasource": DATASOURCE, "expr": query, "legendFormat": legend or "__auto"}
        for index, (query, legend) in enumerate(queries)
    ]
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    if kind == "stat":
        defaults["color"] = {"mode": "thresholds"}
        defaults["thresholds"] = {"mode": "absolute", **(thresholds or {"steps": [{"color": "blue", "value": None}]})}
        options = {"colorMode": "value", "graphMode": "area", "reduceOptions": {"calcs": ["lastNotNull"]}}
    else:
        defaults["custom"] = {"drawStyle": "line", "fillOpacity": 10, "lineWidth": 1, "showPoints": "never"}
    return {
        "id": number,
        "type": "timeseries" if kind == "graph" else kind,
        "title": title,
        "datasource": DATASOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": targets,
    }


def panels():
    y = 0
    number = 0
    for title, members in ROWS:
        number += 1
        yield {"id": number, "type": "row", "title": title, "collapsed": False,
               "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}, "panels": []}
        y += 1
        width, height = (COLUMNS // len(members), 4) if members[0][0] == "stat" else (8, 7)
        x = 0
        for member in members:
            if x + width > COLUMNS:
                x, y = 0, y + height
            number += 1
            yield panel(number, {"x": x, "y": y, "w": width, "h": height}, *member)
            x += width
        y += height


def variable(name, label, query):
    return {
        "name": name, "label": label, "type": "query", "datasource": DATASOURCE,
        "query": {"query": query, "refId": name}, "definition": query, "refresh": 2, "sort": 1,
        "multi": True, "includeAll": True, "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def dashboard():
    return {
        "uid": "portcullis",
        "title": "Portcullis",
        "description": "Requests at edges, what they know of revocations, and the revocation authority.",
        "tags": ["portcullis"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": [{
            "name": "Epochs", "datasource": DATASOURCE, "enable": True, "iconColor": "red",
            "expr": "changes(portcullis_feed_epoch[2m]) > 0", "titleFormat": "a new epoch: what was revoked last passes again",
        }]},
        "templating": {"list": [
            {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus",
             "current": {}, "refresh": 1},
            variable("edge_job", "Job of edges", "label_values(portcullis_requests, job)"),
            variable("edge", "Edge", 'label_values(portcullis_requests{job=~"$edge_job"}, instance)'),
            variable("authority_job", "Job of authorities", "label_values(portcullis_store_writable, job)"),
            variable("authority", "Authority", 'label_values(portcullis_store_writable{job=~"$authority_job"}, instance)'),
        ]},
        "panels": list(panels()),
    }


print(json.dumps(dashboard(), indent=1, ensure_ascii=False))
