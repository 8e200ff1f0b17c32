#!/bin/sh
# Installs what the tests and `make bench` need from the system, or says exactly what to install.
set -eu
missing=""
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
command -v chromedriver >/dev/null 2>&1 || missing="$missing chromium-driver"
command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
command -v wrk >/dev/null 2>&1 || missing="$missing wrk"
[ -x /usr/sbin/nginx ] || command -v nginx >/dev/null 2>&1 || missing="$missing nginx-light"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing$missing …"
    log=$(mktemp)
    # A package's own service is of no use here: the tests start what they need themselves.
    printf '#!/bin/sh\nexit 101\n' >/tmp/policy-rc.d.personalizer && chmod +x /tmp/policy-rc.d.personalizer
    [ -e /usr/sbin/policy-rc.d ] || { cp /tmp/policy-rc.d.personalizer /usr/sbin/policy-rc.d; trap 'rm -f /usr/sbin/policy-rc.d' EXIT; }
    # shellcheck disable=SC2086
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1 \
        || { cat "$log" >&2; echo "Could not install$missing. Install them and run this again." >&2; exit 1; }
    rm -f "$log"
else
    echo "The tests and the comparisons need:$missing. On Debian or Ubuntu: sudo apt-get install$missing" >&2
    exit 1
fi
