"""Results as Markdown."""

from scenarios import CPU


def number(value):
    if value is None:
        return ""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 20 else 2
    return f"{value:,.{digits}f}"


def with_spread(values, median):
    if median is None:
        return ""
    spread = f" ({number(min(values))} to {number(max(values))})" if len(values) > 1 else ""
    return number(median) + spread


def ratio(part, whole):
    return part / whole if part is not None and whole else None


def row(*cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def head(*titles):
    return [row(*titles), "|" + "---|" * len(titles)]


def is_met(aim, value, mosquitto, plain):
    """What the aim says of a figure: yes, no, or nothing where there is nothing to compare with."""
    if aim is None or value is None:
        return ""
    beyond = (value - plain) * 1000 if plain is not None else None
    compared = {"itself": value, "ratio": ratio(value, mosquitto), "tidegate": ratio(value, plain), "beyond": beyond}
    found = compared[aim.of]
    return "" if found is None else "yes" if found <= aim.limit else "**no**"


def scenarios_table(results, brokers):
    """A row for each figure of each scenario, a column for each broker."""
    lines = head("scenario", "figure", *brokers, "ratio to mosquitto", "aim", "met")
    for scenario, runs in results:
        for figure in scenario.figures:
            cells = [cell(runs[name], figure.key) if name in runs else "" for name in brokers]
            own, mosquitto = (median_of(runs, name, figure.key) for name in ["tidegate", "mosquitto"])
            lines.append(row(
                f"{scenario.name}: {scenario.what}", figure.title, *cells, number(ratio(own, mosquitto)),
                figure.aim or "", is_met(figure.aim, own, mosquitto, None),
            ))
    return lines


def median_of(runs, name, key):
    return runs[name].median(key) if name in runs else None


def cell(runs, key):
    if runs.failure:
        return f"failed: {runs.failure}"
    wrong = f"; **{runs.wrong:,} lost, doubled or reordered**" if runs.wrong else ""
    return with_spread(runs.values(key), runs.median(key)) + wrong


def counts_table(results, brokers):
    """System calls and context switches per delivered message."""
    lines = head("scenario", "per delivered message", *brokers, "aim", "met")
    for scenario, runs in results:
        for place, title, limit in [(0, "system calls", scenario.calls), (1, "context switches", scenario.switches)]:
            counted = {name: sorted(pair[place] for pair in it.counts) for name, it in runs.items() if it.counts}
            cells = [small(counted[name]) if name in counted else "" for name in brokers]
            own = counted.get("tidegate")
            met = "" if limit is None or not own else "yes" if own[len(own) // 2] <= limit else "**no**"
            what = f"{scenario.name}: {scenario.what}" if place == 0 else ""
            lines.append(row(what, title, *cells, "" if limit is None else f"≤ {limit:g}", met))
    return lines


def small(values):
    median = values[len(values) // 2]
    spread = f" ({values[0]:.3f} to {values[-1]:.3f})" if len(values) > 1 else ""
    return f"{median:.3f}{spread}"


def brokers_table(scenario, runs):
    """A row for each broker, for what differs in plugins or was given by hand."""
    lines = head("broker", "µs CPU per delivered", "ratio to mosquitto", "beyond tidegate, ns", "aim", "met",
                 "lost, doubled, reordered")
    plain, mosquitto = (median_of(runs, name, CPU) for name in ["tidegate", "mosquitto"])
    for name, it in runs.items():
        median, aim = it.median(CPU), scenario.aims.get(name)
        with_plugin = name.startswith("tidegate+") and None not in (plain, median)
        beyond = f"{(median - plain) * 1000:.0f}" if with_plugin else ""
        figures = f"failed: {it.failure}" if it.failure else with_spread(it.values(CPU), median)
        wrong = f"**{it.wrong:,}**" if it.wrong else 0
        lines.append(row(name, figures, number(ratio(median, mosquitto)), beyond, aim or "",
                         is_met(aim, median, mosquitto, plain), wrong))
    return lines


def flood_table(rounds):
    """A row for each round, without and with the flood."""
    lines = head("beside the benchmark", "delivered per s", "µs CPU per delivered", "flood, messages per s",
                 "µs CPU per message of either", "memory at most, MB", "dropped and counted",
                 "lost, doubled, reordered")
    for it in rounds:
        lines.append(row(
            "a flood that nobody reads" if it["flooded"] else "nothing", number(it["delivered"]), number(it["cpu"]),
            number(it["flood"]), number(it["cpu_of_either"]), number(it["peak"] / 1e6), number(it["dropped"]),
            f"**{it['wrong']:,}**" if it["wrong"] else 0,
        ))
    return lines
