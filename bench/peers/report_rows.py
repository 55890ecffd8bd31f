"""What `retort bench --json`, or a peer in its place, reports, by row of a table."""


def row_of(measurement):
    if measurement["what"] == "prefill":
        return f"prefill {measurement['tokens']}"
    context = measurement["context_tokens"]
    return f"decode {measurement['batch']}" + (f" after {context}" if context > 16 else "")


def is_time(row):
    return row.startswith("load")


def best_of(reports):
    """Tokens per second, and seconds to load, at best. What was decoded is the shortest time for
    all tokens less the shortest for the first, each of all reports: the greatest difference would
    come from the one whose first token was disturbed most."""
    times = {}
    for report in reports:
        for m in report["measurements"]:
            if "seconds" in m:
                first = m.get("first_token_s", 0)
                tokens, firsts, wholes = times.setdefault(row_of(m), (m["tokens"], [], []))
                firsts.append(first)
                wholes.append(first + m["seconds"])
    best = {row: tokens / (min(wholes) - min(firsts))
            for row, (tokens, firsts, wholes) in times.items() if min(wholes) > min(firsts) + 1e-6}
    if reports:
        best["load to first token"] = min(report["load_to_first_token_s"] for report in reports)
    return best


def text_of(row, value):
    return "" if value is None else f"{value:.2f} s" if is_time(row) else f"{value:,.0f}"
