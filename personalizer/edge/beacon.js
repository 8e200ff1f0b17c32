(function () {
  "use strict";
  var d = document.documentElement.getAttribute("data-pz-d");
  if (!d) return;
  var queue = [], sentSeen = false, active = 0, deepest = 0;

  function post(path, body) {
    var text = JSON.stringify(body);
    if (!(navigator.sendBeacon && navigator.sendBeacon(path, text)))
      fetch(path, { method: "POST", body: text, keepalive: true, headers: { "Content-Type": "text/plain" } });
  }
  function note(kind, more) {
    var event = { k: kind, t: Date.now() };
    for (var key in more) event[key] = more[key];
    queue.push(event);
  }
  function flush() {
    if (queue.length) post("/_pz/e", { d: d, e: queue.splice(0, 50) });
  }
  function seen() {
    if (sentSeen || document.prerendering || document.visibilityState === "hidden") return;
    sentSeen = true;
    note("seen");
    flush();
    var timer = setInterval(function () {
      if (document.visibilityState !== "visible" || ++active < 10) return;
      clearInterval(timer);
      note("engaged");
      flush();
    }, 1000);
  }
  seen();
  document.addEventListener("visibilitychange", function () {
    if (document.visibilityState === "hidden") {
      if (sentSeen && deepest) note("scroll", { y: deepest });
      deepest = 0;
      flush();
    } else seen();
  });
  document.addEventListener("prerenderingchange", seen);
  addEventListener("scroll", function () {
    var page = document.documentElement;
    deepest = Math.max(deepest, Math.min(100, Math.round(((page.scrollTop + innerHeight) / page.scrollHeight) * 100)));
  }, { passive: true });
  document.addEventListener("click", function (event) {
    var goal = event.target.closest && event.target.closest("[data-pz-goal]");
    if (goal) post("/_pz/convert", { d: d, goal: goal.getAttribute("data-pz-goal") });
  });
})();
