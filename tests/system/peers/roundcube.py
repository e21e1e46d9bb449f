"""Roundcube 1.6 on SQLite behind PHP's own web server, and a small browser for it."""
import html.parser
import http.cookiejar
import json
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from . import ROOT, library_env

EXTENSIONS = ("mbstring", "intl", "ctype", "dom", "simplexml", "xml", "xmlreader", "xmlwriter", "fileinfo", "iconv",
              "tokenizer", "phar", "posix", "sockets", "exif", "ftp", "gettext", "pdo", "pdo_sqlite", "sqlite3")
BUILT_IN_ORDER = ("pdo", "dom", "xml")  # others depend on these

CONFIG = """<?php
$config['db_dsnw'] = 'sqlite:///{home}/rc.db?mode=0640';
$config['imap_host'] = '{imap}';
$config['smtp_host'] = '{smtp}';
$config['smtp_user'] = '%u';
$config['smtp_pass'] = '%p';
$config['des_key'] = 'rockdove-tests-24-bytes!';
$config['log_dir'] = '{home}/logs/';
$config['temp_dir'] = '{home}/temp/';
$config['plugins'] = ['acl', 'archive', 'markasjunk', 'subscriptions_option'];
$config['imap_debug'] = true;
$config['smtp_debug'] = true;
$config['language'] = 'en_US';
$config['mime_types'] = '{home}/config/mimetypes.php';
$tls = ['ssl' => ['verify_peer' => false, 'verify_peer_name' => false]];
$config['imap_conn_options'] = $tls;
$config['smtp_conn_options'] = $tls;
"""


def php_ini(home):
    """Debian keeps extensions as shared objects in one folder; those not unpacked are on the machine already."""
    folders = [*(ROOT / "usr/lib/php").glob("2*"), *Path("/usr/lib/php").glob("2*")]
    names = sorted(EXTENSIONS, key=lambda name: name not in BUILT_IN_ORDER)
    found = [next((f / f"{name}.so" for f in folders if (f / f"{name}.so").exists()), None) for name in names]
    pear = f".:{ROOT}/usr/share/php:/usr/share/php:{ROOT}/usr/share/roundcube/vendor"
    ini = home / "php.ini"
    ini.write_text("".join(f"extension={so}\n" for so in found if so) + f'include_path="{pear}"\n'
                   f'upload_tmp_dir="{home}/temp"\nsession.save_path="{home}/temp"\nsys_temp_dir="{home}/temp"\n'
                   "memory_limit=256M\ndate.timezone=UTC\nerror_log=" + str(home / "logs/php.log") + "\n")
    return ini


class Roundcube:
    """imap, smtp: what Roundcube's imap_host and smtp_host take, e.g. ssl://127.0.0.1:10993."""

    def __init__(self, home, port, imap, smtp):
        self.home, self.port, self.process = Path(home), port, None
        self.imap, self.smtp = imap, smtp

    def _prepare(self):
        for name in ("config", "logs", "temp"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        tree = self.home / "tree"
        # Debian links the program's folders to absolute places; a private copy has them where PHP finds them.
        shutil.copytree(ROOT / "usr/share/roundcube", tree, symlinks=False, ignore_dangling_symlinks=True)
        for script in tree.rglob("*.php"):  # Debian's copy names its places outright
            text = script.read_text(errors="surrogateescape")
            moved = text.replace("/var/lib/roundcube", str(tree)).replace("/usr/share/roundcube", str(tree))
            if moved != text:
                script.write_text(moved, errors="surrogateescape")
        for name in ("defaults.inc.php", "mimetypes.php"):
            shutil.copy(ROOT / "etc/roundcube" / name, self.home / "config")
        (self.home / "config/config.inc.php").write_text(
            CONFIG.format(home=self.home, imap=self.imap, smtp=self.smtp))
        self.php = [str(ROOT / "usr/bin/php8.2"), "-n", "-c", str(php_ini(self.home))]
        self.php.remove("-n")
        self.env = dict(library_env(), PHP_INI_SCAN_DIR="", ROUNDCUBE_CONFIG_DIR=str(self.home / "config"),
                        PHP_CLI_SERVER_WORKERS="3")
        return tree

    def start(self, timeout=20):
        tree = self._prepare()
        sql = "$d=new PDO('sqlite:%s/rc.db');$d->exec(file_get_contents('%s/SQL/sqlite.initial.sql'));"
        subprocess.run([*self.php, "-r", sql % (self.home, tree)], env=self.env, check=True, timeout=20)
        with open(self.home / "logs/server.log", "wb") as log:
            self.process = subprocess.Popen([*self.php, "-S", f"127.0.0.1:{self.port}", "-t", str(tree)], env=self.env,
                                            stdout=log, stderr=log, start_new_session=True)
        deadline = time.monotonic() + timeout
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=10).read()
                return self
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.1)

    def stop(self):
        if self.process:  # its workers outlive a kill of the parent alone
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait(5)

    def logs(self):
        return {path.name: path.read_text(errors="replace") for path in (self.home / "logs").iterdir()}


class _Fields(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.fields = {}

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "input" and attrs.get("name") and attrs.get("type") == "hidden":
            self.fields[attrs["name"]] = attrs.get("value") or ""


class Browser:
    """What a person's browser would send, without the browser."""

    def __init__(self, roundcube):
        self.base = f"http://127.0.0.1:{roundcube.port}/"
        self.jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        self.token = ""

    def _open(self, query, data=None, ajax=False):
        request = urllib.request.Request(self.base + "?" + urllib.parse.urlencode(query))
        if data is not None:
            request.data = urllib.parse.urlencode(data).encode()
        if ajax:
            request.add_header("X-Requested-With", "XMLHttpRequest")
            request.add_header("X-Roundcube-Request", self.token)
        with self.opener.open(request, timeout=30) as reply:
            return reply.read().decode("utf-8", "replace")

    def page(self, task="mail", **query):
        text = self._open({"_task": task, **query})
        found = re.search(r'"request_token":"([^"]+)"', text)
        if found:
            self.token = found[1]
        return text

    def hidden(self, text):
        parser = _Fields()
        parser.feed(text)
        return parser.fields

    def login(self, user, password):
        fields = self.hidden(self.page("login"))
        fields.update(_task="login", _action="login", _user=user, _pass=password)
        self._open({"_task": "login"}, fields)
        text = self.page("mail")
        if "rcmloginuser" in text:
            raise AssertionError("Roundcube's log-in failed")
        return text

    def action(self, action, _post=None, **query):
        """An AJAX call; answers the parsed JSON ("exec" holds the script the page would run)."""
        text = self._open({"_task": "mail", "_action": action, "_remote": 1, **query}, _post, ajax=True)
        return json.loads(text)

    def uids(self, mailbox="INBOX", **query):
        answer = self.action("list", _mbox=mailbox, _refresh=1, **query)
        return [int(uid) for uid in re.findall(r"add_message_row\((\d+),", answer.get("exec", ""))]

    def change(self, action, **fields):
        return self.action(action, _post={"_token": self.token, "_remote": 1, **fields})

    def send(self, to, subject, body):
        text = self.page("mail", _action="compose")
        fields = self.hidden(text)
        identity = re.search(r'<option value="(\d+)"[^>]*>[^<]*@', text)
        fields.update(_from=identity[1] if identity else "1", _to=to, _subject=subject, _message=body, _is_html="0",
                      _token=self.token)
        fields.pop("_draft", None)
        return self._open({"_task": "mail", "_action": "send"}, {**fields, "_framed": "1", "_remote": "1"})
