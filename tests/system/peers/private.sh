#!/bin/sh
# private.sh ROOT SCRATCH COMMAND...: runs COMMAND where the files of ROOT lie over /usr and /etc, and where the users
# Postfix and Dovecot insist on exist. Started by peers.private_command() inside a mount and process namespace
# of its own (`unshare -m -p -f`): nothing of this is seen outside, and it ends with the command.
set -eu
root=$1 scratch=$2
shift 2
mount -t overlay overlay -o "lowerdir=$root/usr:/usr" /usr
mount -t overlay overlay -o "lowerdir=$root/etc:/etc" /etc

# user_of NAME UID GID: a passwd line, unless the machine has that user already
user_of() {
    getent passwd "$1" >/dev/null || echo "$1:x:$2:$3::/nonexistent:/usr/sbin/nologin"
}
group_of() {
    getent group "$1" >/dev/null || echo "$1:x:$2:"
}
# Ids far from any the machine hands out itself.
{ cat /etc/passwd; user_of postfix 59101 59101; user_of dovecot 59102 59102; user_of dovenull 59103 59103
  user_of vmail 59105 59105; } > "$scratch/passwd"
{ cat /etc/group; group_of postfix 59101; group_of postdrop 59104; group_of dovecot 59102; group_of dovenull 59103
  group_of vmail 59105; } > "$scratch/group"
mount --bind "$scratch/passwd" /etc/passwd
mount --bind "$scratch/group" /etc/group
exec "$@"
