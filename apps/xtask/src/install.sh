# Installs Debian packages without letting them start servers or make a cluster of their own. Run as root:
#   sh -c "$(cat install.sh)" install PACKAGE...
# Progress goes to stdout as apt's status lines. What it changes for the time of the installation is put back at the
# end, or by the next run when this one was killed.
set -eu
# An installation that is cut in the middle is worse than one that takes a moment longer.
trap '' INT HUP TERM
export DEBIAN_FRONTEND=noninteractive

policy=/usr/sbin/policy-rc.d
mark='# made by cargo xtask (Weir)'
cluster=/etc/postgresql-common/createcluster.d/weir.conf

restore() {
  if grep -qsF "$mark" "$policy"; then rm -f "$policy"; fi
  if [ -e "$policy.weir" ]; then mv "$policy.weir" "$policy"; fi
  rm -f "$cluster"
  rmdir "${cluster%/*}" "${cluster%/*/*}" 2>/dev/null || true
}

# Two checkouts may get here at the same time.
if command -v flock >/dev/null; then
  exec 9>/run/weir-install.lock
  flock -w 1800 9
fi
restore
trap restore EXIT

if [ -e "$policy" ]; then mv "$policy" "$policy.weir"; fi
printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy"
chmod 755 "$policy"
mkdir -p "${cluster%/*}"
printf '%s\ncreate_main_cluster = false\n' "$mark" >"$cluster"

get() {
  apt-get install -y -q --no-install-recommends --no-upgrade \
    -o APT::Status-Fd=1 -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=900 \
    -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" 9>&-
}
if ! get "$@"; then
  echo 'weir:packages:0:getting the list of packages'
  # Something earlier was interrupted, or the list of packages is missing or old.
  dpkg --configure -a 9>&- || true
  apt-get update -q -o DPkg::Lock::Timeout=900 9>&- || true
  get "$@"
fi

# Not now, and not at the next start of the machine either.
for package in "$@"; do
  if [ "$package" = redis-server ] && command -v systemctl >/dev/null; then
    systemctl disable redis-server.service 9>&- || true
  fi
done
