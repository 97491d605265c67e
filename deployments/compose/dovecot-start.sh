#!/bin/sh
# Writes the user file from the secret, then becomes Dovecot.
set -eu
mkdir -p /run/dovecot
umask 077
printf 'cardiologie@ch-test.example:%s\n' "$(cat /run/secrets/mailbox_password)" > /run/dovecot/users
chown -R vmail: /srv/mail
exec dovecot -F
