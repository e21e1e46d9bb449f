"""Thunderbird without a window, driven through Marionette: scripts run inside it, with everything its own windows have."""
import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

from . import CLIENTS, clients_env

# Nothing but the accounts of the test is to be asked for anything: everything else goes to a proxy that is not there.
PREFS = {
    "network.proxy.type": 1, "network.proxy.http": "127.0.0.1", "network.proxy.http_port": 9, "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9, "network.dns.disablePrefetch": True, "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False, "app.update.enabled": False, "app.update.auto": False,
    "extensions.update.enabled": False, "datareporting.policy.dataSubmissionEnabled": False, "toolkit.telemetry.enabled": False,
    "services.settings.server": "http://127.0.0.1:9/", "mailnews.start_page.enabled": False, "app.donation.eoy.version.viewed": 999,
    "mail.shell.checkDefaultClient": False, "mail.provider.suppress_dialog_on_startup": True, "mail.rights.version": 1,
    "mail.spotlight.firstRunDone": True, "mail.winsearch.firstRunDone": True, "mail.inappnotifications.enabled": False,
    "calendar.registry.local.type": "memory", "mailnews.auto_config.fetchFromISP.enabled": False,
    "mail.server.default.check_new_mail": False, "mail.server.default.login_at_startup": False,
    "mail.server.default.autosync_offline_stores": False,
    "mail.purge.ask": False, "mail.warn_on_delete_from_trash": False, "offline.startup_state": 2, "offline.send.unsent_messages": 2,
    "offline.download.download_messages": 2, "browser.dom.window.dump.enabled": True,
}

# Words every script may use.
PRELUDE = """
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const { NetUtil } = ChromeUtils.importESModule("resource://gre/modules/NetUtil.sys.mjs");
const sleep = ms => new Promise(done => { const t = Cc["@mozilla.org/timer;1"].createInstance(Ci.nsITimer);
    t.initWithCallback(() => done(), ms, Ci.nsITimer.TYPE_ONE_SHOT); keep.add(t); });
const keep = new Set();
const until = async (what, question) => {
    for (let i = 0; i < 300; i++) { const answer = await question(); if (answer) return answer; await sleep(50); }
    throw new Error("waited in vain: " + what);
};
const url = begin => new Promise((done, fail) => begin({ QueryInterface: ChromeUtils.generateQI(["nsIUrlListener"]),
    OnStartRunningUrl() {}, OnStopRunningUrl(_, status) { status ? fail(new Error("status " + status.toString(16))) : done(); } }));
const copied = begin => new Promise((done, fail) => begin({ QueryInterface: ChromeUtils.generateQI(["nsIMsgCopyServiceListener"]),
    onStartCopy() {}, onProgress() {}, setMessageKey() {}, getMessageId() { return null; },
    onStopCopy(status) { status ? fail(new Error("status " + status.toString(16))) : done(); } }));
const serverOf = type => MailServices.accounts.allServers.find(s => s.type == type);
const folder = (name, type = "imap") => {
    const found = serverOf(type).rootFolder.descendants.find(f => f.name.toLowerCase() == name.toLowerCase());
    return found || null;
};
const headers = f => [...f.messages];
const bySubject = (f, subject) => headers(f).find(h => h.mime2DecodedSubject == subject);
const source = h => new Promise((done, fail) => { let text = "";
    const uri = h.folder.getUriForMsg(h);
    MailServices.messageServiceFromURI(uri).streamMessage(uri, { QueryInterface: ChromeUtils.generateQI(["nsIStreamListener"]),
        onStartRequest() {}, onDataAvailable(_, stream, __, count) { text += NetUtil.readInputStreamToString(stream, count); },
        onStopRequest(_, status) { status ? fail(new Error("status " + status.toString(16))) : done(text); } }, null, null, false, ""); });
"""


class Thunderbird:
    """home: a new folder; port: a free one, for Marionette."""

    def __init__(self, home, port):
        self.home, self.port, self.process, self.number = Path(home), port, None, 0

    def start(self, timeout=90):
        profile = self.home / "profile"
        profile.mkdir(parents=True)
        prefs = {**PREFS, "marionette.port": self.port}
        (profile / "user.js").write_text("".join(f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in prefs.items()))
        env = dict(clients_env(), HOME=str(self.home), MOZ_CRASHREPORTER_DISABLE="1", LANG="C.UTF-8", MOZ_HEADLESS="1")
        program = CLIENTS / "usr/lib/thunderbird/thunderbird"
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", program, "--headless", "--marionette", "-remote-allow-system-access",
             "--no-remote", "--profile", str(profile)],
            env=env, stdin=subprocess.DEVNULL, stdout=open(self.home / "out", "wb"), stderr=subprocess.STDOUT, start_new_session=True)
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.sock = socket.create_connection(("127.0.0.1", self.port), 5)
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise AssertionError("Thunderbird did not start:\n" + (self.home / "out").read_text()[-3000:]) from None
                time.sleep(0.2)
        self.sock.settimeout(60)
        self.buffer = b""
        self._message()  # who it is
        self.call("WebDriver:NewSession", {})
        self.call("Marionette:SetContext", {"value": "chrome"})
        self.call("WebDriver:SetTimeouts", {"script": 50000})
        return self

    def _message(self):
        while b":" not in self.buffer:
            self._more()
        length, self.buffer = self.buffer.split(b":", 1)
        while len(self.buffer) < int(length):
            self._more()
        message, self.buffer = self.buffer[:int(length)], self.buffer[int(length):]
        return json.loads(message)

    def _more(self):
        data = self.sock.recv(65536)
        assert data, "Thunderbird is gone:\n" + (self.home / "out").read_text()[-3000:]
        self.buffer += data

    def call(self, command, words):
        self.number += 1
        data = json.dumps([0, self.number, command, words]).encode()
        self.sock.sendall(b"%d:%s" % (len(data), data))
        kind, number, error, result = self._message()
        assert kind == 1 and number == self.number
        assert not error, (command, error)
        return result

    def run(self, script, *words):
        """The body of an async function; `words` are its arguments. What it returns."""
        body = (PRELUDE + "const done = arguments[arguments.length - 1]; const words = [...arguments].slice(0, -1);\n"
                "(async () => {" + script + "})().then(v => done({ value: v === undefined ? null : v }), "
                "e => done({ error: String(e) + ' ' + (e.stack || '') }));")
        result = self.call("WebDriver:ExecuteAsyncScript", {"script": body, "args": list(words), "sandbox": "system", "newSandbox": True})
        value = result["value"]
        assert "error" not in value, value["error"]
        return value["value"]

    def add_account(self, kind, user, port, certificate, **settings):
        """kind: imap or pop3, over implicit TLS; `certificate` is believed for this port."""
        self.run("""
            const [kind, user, password, port, pem, settings] = words;
            const db = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB);
            const cert = db.constructX509FromBase64(pem.replace(/-----[A-Z ]+-----/g, "").replace(/\\s/g, ""));
            Cc["@mozilla.org/security/certoverride;1"].getService(Ci.nsICertOverrideService)
                .rememberValidityOverride("localhost", port, {}, cert, false);
            const server = MailServices.accounts.createIncomingServer(user, "localhost", kind);
            server.port = port; server.socketType = Ci.nsMsgSocketType.SSL;
            server.authMethod = Ci.nsMsgAuthMethod.passwordCleartext;
            server.password = password; server.valid = true;
            for (const [name, value] of Object.entries(settings))
                typeof value == "boolean" ? server.setBoolValue(name, value) : server.setIntValue(name, value);
            const identity = MailServices.accounts.createIdentity();
            identity.email = user; identity.fullName = "A User";
            const account = MailServices.accounts.createAccount();
            account.incomingServer = server; account.addIdentity(identity);
            """, kind, user.address, user.password, port, Path(certificate).read_text(), settings)

    def stop(self):
        if self.process is None:
            return
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(10)
        self.process = None
