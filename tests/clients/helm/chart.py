"""Renders the Helm chart with Helm's own code, and prints what came of it as JSON.

Arguments: the chart's directory, and values as a JSON object.
"""

import json
import sys

import helm_python as helm


def main():
    directory, values = sys.argv[1], json.loads(sys.argv[2])
    report = helm.lint(directory, values, strict=True, namespace="weir-system")
    try:
        with helm.Chart.load(directory) as chart:
            chart.validate_schema(values)
            rendered = chart.render(values, name="weir", namespace="weir-system")
        outcome = {"rendered": rendered}
    except helm.HelmError as error:
        outcome = {"refused": str(error)}
    problems = [one for one in report["messages"] if one["severity"] > 1]
    print(json.dumps({"problems": problems, **outcome}))


main()
