"""Pictures of the MLflow UI as a person sees it, of a store with a sweep in it.

    python3 -m venv selenium && selenium/bin/pip install selenium
    .venv/bin/recseq experiment=tutorial size=small          # something to look at: 12 runs
    selenium/bin/python scripts/screenshots.py --mlflow .venv/bin/mlflow --store sqlite:///outputs/mlflow.db --to pictures

Needs selenium (in an environment of its own), a Chromium and its chromedriver. Starts `mlflow server` on a free port of loopback and stops
it; the store is read only. Pictures: the stored view (a line a configuration), the tree as the UI shows it unasked, the sweep's page
with its description, a run's page, the comparison of the newest sweep's runs with parallel coordinates and scatter, and the charts.
"""

import argparse
import json
import shlex
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from selenium import webdriver  # type: ignore[import-not-found]
from selenium.webdriver.chrome.service import Service  # type: ignore[import-not-found]
from selenium.webdriver.common.by import By  # type: ignore[import-not-found]

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run", "--window-size=1900,1500"),
)
TRAINING = "workflowType=machine_learning"
VIEW = f"viewStateShareKey=recseq&{TRAINING}"
SECONDS_TO_SETTLE = 12


def start_server(mlflow: str, store: str) -> tuple[subprocess.Popen[bytes], str]:
    """An MLflow server on loopback, ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [*shlex.split(mlflow), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--backend-store-uri", store]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    uri = f"http://127.0.0.1:{port}"
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{uri}/health", timeout=5).close()
            return server, uri
        except OSError:
            time.sleep(1)
    server.terminate()
    raise SystemExit(f"no server after two minutes: {shlex.join(command)}")


def ask(uri: str, path: str, **body: Any) -> dict[str, Any]:
    """MLflow's REST interface."""
    request = urllib.request.Request(f"{uri}/api/2.0/mlflow/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def runs(uri: str, experiment: str, condition: str) -> list[str]:
    """Ids of an experiment's runs, newest first."""
    found = ask(uri, "runs/search", experiment_ids=[experiment], filter=condition, order_by=["attributes.start_time DESC"])
    return [run["info"]["run_id"] for run in found.get("runs", [])]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True, help="tracking URI of the store, sqlite:///...")
    parser.add_argument("--experiment", default="recseq")
    parser.add_argument("--mlflow", default="mlflow", help="the program")
    parser.add_argument("--chromium", default="/usr/bin/chromium")
    parser.add_argument("--chromedriver", default="/usr/bin/chromedriver")
    parser.add_argument("--to", type=Path, required=True, help="folder of the pictures")
    options = parser.parse_args()
    options.to.mkdir(parents=True, exist_ok=True)
    server, uri = start_server(options.mlflow, options.store)
    try:
        with tempfile.TemporaryDirectory() as profile:
            chrome = webdriver.ChromeOptions()
            chrome.binary_location = options.chromium
            for flag in (*FLAGS, f"--user-data-dir={profile}"):
                chrome.add_argument(flag)
            browser = webdriver.Chrome(options=chrome, service=Service(options.chromedriver))
            try:
                take(browser, uri, options.experiment, options.to)
            finally:
                browser.quit()
    finally:
        server.terminate()
        server.wait()


def take(browser: Any, uri: str, name: str, folder: Path) -> None:
    """All pictures."""
    found = ask(uri, "experiments/search", filter=f"name = '{name}'", max_results=1)
    experiment = found["experiments"][0]["experiment_id"]
    (sweep, *_) = runs(uri, experiment, "tags.`recseq.level` = 'sweep'")
    jobs = runs(uri, experiment, f"tags.`mlflow.parentRunId` = '{sweep}'")
    page = f"{uri}/#/experiments/{experiment}"
    compared = f"runs={urllib.parse.quote(json.dumps(jobs))}&experiments={urllib.parse.quote(json.dumps([experiment]))}"

    def picture(title: str, address: str | None = None, seconds: float = SECONDS_TO_SETTLE, more: bool = False) -> None:
        if address is not None:
            browser.get(address)
        time.sleep(seconds)
        close = browser.find_elements(By.XPATH, "//*[.='MLflow Assistant']/following::button[3]")
        unfold = browser.find_elements(By.XPATH, "//button[contains(., 'Show more')] | //*[.='Show more']") if more else []
        for element in close[:1] + unfold[-1:]:
            browser.execute_script("arguments[0].click()", element)
            time.sleep(2)
        browser.save_screenshot(str(folder / f"{title}.png"))
        print(folder / f"{title}.png")

    def tab(text: str) -> None:
        browser.find_element(By.XPATH, f"//*[@role='tab'][contains(., '{text}')]").click()

    picture("experiment", f"{page}/runs?{VIEW}", 2 * SECONDS_TO_SETTLE)  # the first page loads the program
    picture("tree", f"{page}/runs?{TRAINING}")
    picture("charts", f"{page}/runs?{VIEW}&compareRunsMode=CHART")
    picture("sweep", f"{page}/runs/{sweep}?{TRAINING}", more=True)
    picture("run", f"{page}/runs/{jobs[0]}?{TRAINING}", more=True)
    picture("parallel_coordinates", f"{uri}/#/compare-runs?{compared}&{TRAINING}")
    tab("Scatter")
    picture("scatter")
    for title in ("Parameters", "Metrics"):
        for heading in browser.find_elements(By.XPATH, f"//*[normalize-space(text())='{title}']")[-1:]:
            browser.execute_script("arguments[0].scrollIntoView()", heading)
            picture(f"compared_{title.lower()}", seconds=1)


if __name__ == "__main__":
    main()
