# SPDX-License-Identifier: Apache-2.0
"""gpuscale certs: what it makes, as openssl, python's ssl and curl judge it; renewal, change of the authority, manifests;
and what `certs show` says."""

import os
import re
import shutil
import ssl
import stat
import subprocess

import pytest

import harness
from harness import run
from scaler_kit import Keda, Scaler, workload

yaml = pytest.importorskip("yaml")

PARTIES = ("scaler", "agent", "keda")


def certs(*args, status=0):
    done = run("gpuscale", "certs", *args)
    assert done.returncode == status, (args, done.stdout, done.stderr)
    return done


def made(folder, *args):
    certs("--output", folder, *args)
    return folder


def verify(folder, name, purpose, ca="ca.crt"):
    return subprocess.run(["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", str(folder / ca),
                           str(folder / f"{name}.crt")], capture_output=True, text=True)


def text(path):
    return subprocess.run(["openssl", "x509", "-in", str(path), "-noout", "-text"], check=True, capture_output=True,
                          text=True).stdout


def names(path):
    return re.findall(r"(?:DNS|IP Address):([^,\s]+)", text(path))


def files(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_openssl_takes_each_certificate_for_its_purpose_only(tmp_path):
    pki = made(tmp_path / "pki", "--dns", "scaler.example.com", "--ip", "192.0.2.7", "--agent-dns", "node.example.com")
    for name, server, client in (("scaler", True, True), ("agent", True, False), ("keda", False, True)):
        assert (verify(pki, name, "sslserver").returncode == 0) == server, name
        assert (verify(pki, name, "sslclient").returncode == 0) == client, name
        page = text(pki / f"{name}.crt")
        assert "ASN1 OID: prime256v1" in page and "ecdsa-with-SHA256" in page and "CA:FALSE" in page
    assert "CA:TRUE, pathlen:0" in text(pki / "ca.crt")
    assert names(pki / "scaler.crt") == ["gpuscale-scaler.gpuscale.svc", "gpuscale-scaler.gpuscale.svc.cluster.local",
                                         "gpuscale-scaler.gpuscale", "gpuscale-scaler", "localhost", "scaler.example.com",
                                         "192.0.2.7"]
    assert names(pki / "agent.crt")[-1] == "node.example.com" and "192.0.2.7" not in names(pki / "agent.crt")
    assert names(pki / "keda.crt") == ["gpuscale-keda.gpuscale.svc"]
    serials = {re.search(r"Serial Number:\s+([0-9a-f:]+)", text(p)).group(1) for p in pki.glob("*.crt")}
    assert len(serials) == 4 and all(len(s) == 59 for s in serials), "20 random bytes each"


def test_keys_are_for_their_owner_alone_and_nothing_half_written_stays(tmp_path):
    os.umask(0o000)
    try:
        pki = made(tmp_path / "pki")
    finally:
        os.umask(0o022)
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in pki.iterdir()}
    assert modes == {f"{n}.{x}": 0o600 if x == "key" else 0o644 for n in ("ca", *PARTIES) for x in ("crt", "key")}
    assert stat.S_IMODE(pki.stat().st_mode) == 0o700


def test_what_is_there_is_not_overwritten(tmp_path):
    pki = made(tmp_path / "pki")
    before = files(pki)
    said = certs("--output", pki, status=1).stderr
    assert "--renew" in said and "--force" in said and files(pki) == before
    # A single file counts, too.
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "keda.key").write_text("x")
    certs("--output", tmp_path / "one", status=1)
    assert os.listdir(tmp_path / "one") == ["keda.key"]
    made(pki, "--force")
    assert all(before[name] != content for name, content in files(pki).items())
    assert verify(pki, "scaler", "sslserver").returncode == 0


def test_a_renewal_keeps_the_authority_and_the_names(tmp_path):
    pki = made(tmp_path / "pki", "--namespace", "other", "--dns", "a.example", "--days", "30")
    before, had = files(pki), {n: names(pki / f"{n}.crt") for n in PARTIES}
    made(pki, "--renew", "--dns", "b.example")
    after = files(pki)
    assert after["ca.crt"] == before["ca.crt"] and after["ca.key"] == before["ca.key"]
    for name in PARTIES:
        assert after[f"{name}.crt"] != before[f"{name}.crt"] and after[f"{name}.key"] != before[f"{name}.key"]
        assert verify(pki, name, "sslclient" if name == "keda" else "sslserver").returncode == 0
    assert names(pki / "scaler.crt") == [*had["scaler"], "b.example"]
    assert names(pki / "agent.crt") == had["agent"]
    certs("--output", tmp_path / "none", "--renew", status=1)
    (pki / "ca.key").unlink()
    assert "ca.key is missing" in certs("--output", pki, "--renew", status=1).stderr


def test_a_change_of_the_authority_never_leaves_anybody_untrusted(tmp_path):
    """Old and new certificates, old and new bundles: at each step, what one side may still have is trusted by what the
    other side may have already."""
    pki = made(tmp_path / "pki")

    def kept(step):
        shutil.copytree(pki, tmp_path / step)
        return tmp_path / step

    old = kept("old")
    both = kept(made(pki, "--new-ca") and "both")
    assert files(both)["scaler.crt"] == files(old)["scaler.crt"]
    assert (both / "ca.crt").read_text().count("BEGIN CERTIFICATE") == 2
    early = certs("--output", pki, "--drop-ca", status=1).stderr
    assert "--renew first" in early and files(pki) == files(both)
    renewed = kept(made(pki, "--renew") and "renewed")
    new = kept(made(pki, "--drop-ca") and "new")
    assert (new / "ca.crt").read_text().count("BEGIN CERTIFICATE") == 1

    def trusts(bundle, leaf):
        return subprocess.run(["openssl", "verify", "-CAfile", str(bundle / "ca.crt"), str(leaf / "scaler.crt")],
                              capture_output=True).returncode == 0
    steps = [old, both, renewed, new]
    for a, b in zip(steps, steps[1:]):
        assert trusts(a, b) and trusts(b, a), "neighbours in time trust each other"
    assert not trusts(new, old) and not trusts(old, renewed)


def test_no_certificate_outlives_its_authority(tmp_path):
    pki = tmp_path / "pki"
    assert certs("--output", pki, "--days", "365", "--ca-days", "10").stdout.count("its authority ends then") == 3
    ends = {re.search(r"Not After : (.*)", text(pki / f"{n}.crt")).group(1) for n in ("ca", *PARTIES)}
    assert len(ends) == 1


def secrets(out):
    return {(d["kind"], d["metadata"].get("namespace"), d["metadata"]["name"]): d for d in yaml.safe_load_all(out)}


def test_the_manifests_are_what_keda_and_the_pods_read(tmp_path):
    pki = made(tmp_path / "pki")
    before = files(pki)
    out = certs("--output", pki, "--manifests").stdout
    assert files(pki) == before, "printing makes nothing new"
    found = secrets(out)
    for name, namespace in (("scaler", "gpuscale"), ("agent", "gpuscale-agents"), ("keda", "keda")):
        secret = found.pop(("Secret", namespace, f"gpuscale-{name}-tls"))
        assert secret["type"] == "kubernetes.io/tls"
        assert {k: v.encode() for k, v in secret["stringData"].items()} == {
            "tls.crt": before[f"{name}.crt"], "tls.key": before[f"{name}.key"], "ca.crt": before["ca.crt"]}
    (kind, namespace, name), auth = found.popitem()
    assert (kind, namespace, name) == ("ClusterTriggerAuthentication", None, "gpuscale") and not found
    assert {(r["parameter"], r["name"], r["key"]) for r in auth["spec"]["secretTargetRef"]} == {
        ("caCert", "gpuscale-keda-tls", "ca.crt"), ("tlsClientCert", "gpuscale-keda-tls", "tls.crt"),
        ("tlsClientKey", "gpuscale-keda-tls", "tls.key")}
    assert before["ca.key"].decode().splitlines()[1] not in out, "the authority's key stays at home"
    # Without a folder: new ones each time.
    once = certs("--manifests", "--namespace", "a", "--agent-namespace", "b", "--keda-namespace", "c").stdout
    again = certs("--manifests", "--namespace", "a", "--agent-namespace", "b", "--keda-namespace", "c").stdout
    assert once != again and {k[1] for k in secrets(once)} == {"a", "b", "c", None}
    assert names_in(secrets(once)[("Secret", "c", "gpuscale-keda-tls")], tmp_path) == ["gpuscale-keda.a.svc"]


def test_manifests_are_not_written_for_names_that_the_certificates_do_not_have(tmp_path):
    pki = made(tmp_path / "pki", "--namespace", "a")
    before = files(pki)
    for more in ([], ["--renew"], ["--new-ca"]):
        said = certs("--output", pki, "--manifests", *more, status=1)
        assert "scaler.crt is not for gpuscale-scaler.gpuscale.svc" in said.stderr and said.stdout == ""
    assert files(pki) == before
    assert len(secrets(certs("--output", pki, "--manifests", "--namespace", "a").stdout)) == 4


def names_in(secret, tmp_path):
    path = tmp_path / "some.crt"
    path.write_text(secret["stringData"]["tls.crt"])
    return names(path)


def test_cert_manager_is_asked_for_the_same(tmp_path):
    pki = made(tmp_path / "pki", "--dns", "a.example", "--ip", "192.0.2.1")
    found = secrets(certs("--cert-manager", "--dns", "a.example", "--ip", "192.0.2.1").stdout)
    issuers = [k for k in found if k[0] == "ClusterIssuer"]
    assert sorted(k[2] for k in issuers) == ["gpuscale-ca", "gpuscale-selfsigned"]
    ca = found[("Certificate", "cert-manager", "gpuscale-ca")]["spec"]
    assert ca["isCA"] is True and found[("ClusterIssuer", None, "gpuscale-ca")]["spec"]["ca"]["secretName"] == ca["secretName"]
    for name, namespace, usages in (("scaler", "gpuscale", {"digital signature", "server auth", "client auth"}),
                                    ("agent", "gpuscale-agents", {"digital signature", "server auth"}),
                                    ("keda", "keda", {"digital signature", "client auth"})):
        spec = found[("Certificate", namespace, f"gpuscale-{name}")]["spec"]
        assert spec["dnsNames"] + spec.get("ipAddresses", []) == names(pki / f"{name}.crt")
        assert set(spec["usages"]) == usages and spec["secretName"] == f"gpuscale-{name}-tls"
        assert spec["issuerRef"] == {"group": "cert-manager.io", "kind": "ClusterIssuer", "name": "gpuscale-ca"}
    assert ("ClusterTriggerAuthentication", None, "gpuscale") in found
    own = secrets(certs("--cert-manager", "--issuer", "Issuer/vault").stdout)
    assert not [k for k in own if k[0] == "ClusterIssuer"]
    assert {d["spec"]["issuerRef"]["name"] for k, d in own.items() if k[0] == "Certificate"} == {"vault"}


def test_python_and_curl_believe_the_scaler_and_keda_gets_through(tmp_path):
    pki = made(tmp_path / "pki", "--ip", "127.0.0.1")
    pair = {"cert": str(pki / "scaler.crt"), "key": str(pki / "scaler.key")}
    tls = {**pair, "ca": str(pki / "ca.crt"), "allowedNames": ["gpuscale-keda.gpuscale.svc"]}
    with Scaler(tmp_path / "s", [workload()], tls=tls, http={"listen": "127.0.0.1:0", "tls": pair}) as s:
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        assert harness.http_get(f"https://{s.http}/metrics", context=context)[0] == 200
        port = s.http.rsplit(":", 1)[1]
        for host in ("localhost", "gpuscale-scaler.gpuscale.svc"):
            got = subprocess.run(["curl", "-sS", "--noproxy", "*", "--cacert", str(pki / "ca.crt"), "--resolve",
                                  f"{host}:{port}:127.0.0.1", f"https://{host}:{port}/metrics", "-o", os.devnull,
                                  "-w", "%{http_code} %{ssl_verify_result}"], capture_output=True, text=True)
            assert got.stdout == "200 0", got
        import grpc
        credentials = grpc.ssl_channel_credentials(*((pki / n).read_bytes() for n in ("ca.crt", "keda.key", "keda.crt")))
        keda = Keda(s.grpc, tmp_path, credentials, [("grpc.ssl_target_name_override", "gpuscale-scaler.gpuscale.svc")])
        assert keda.spec().metricSpecs[0].metricName == "desired-replicas"
        keda.close()


def test_show_says_what_a_certificate_is_good_for(tmp_path):
    pki = made(tmp_path / "pki")
    page = certs("show", *sorted(pki.iterdir())).stdout
    assert re.search(r"agent.crt: gpuscale-agent\n  is for +servers; no client passes with it\n", page)
    assert re.search(r"keda.crt: gpuscale-keda\n  is for +clients; no server passes with it\n", page)
    assert re.search(r"scaler.crt: gpuscale-scaler\n  is for +servers and clients\n", page)
    assert re.search(r"is +an authority: it signs certificates", page)
    assert re.search(r"until \d{4}-\d\d-\d\d \d\d:\d\d UTC, 36[45] days from now", page)
    assert re.search(rf'signed by +"gpuscale CA [^"]+", in {re.escape(str(pki))}/ca.crt', page)
    assert re.search(r"keda.key: a private key, ECDSA P-256\n  of +certificate 1 of .*keda.crt", page)
    openssl = subprocess.run(["openssl", "x509", "-in", str(pki / "keda.crt"), "-noout", "-fingerprint", "-sha256",
                              "-serial"], capture_output=True, text=True).stdout
    assert re.search(r"Fingerprint=(\S+)", openssl).group(1) in page
    assert re.search(r"serial=(\S+)", openssl).group(1) in page


def test_show_tells_what_is_wrong(tmp_path):
    pki, other = made(tmp_path / "pki"), made(tmp_path / "other")
    ca = harness.Certs(tmp_path / "old")
    expired = ca.leaf("past", days=-1)[0]
    # One that ended; a key of another certificate, which everybody may read.
    page = certs("show", expired, status=1).stdout
    assert re.search(r"NO MORE: it expired \d{4}-\d\d-\d\d \d\d:\d\d UTC, \d+ (days|hours|minutes) ago", page)
    assert "which is in none of these files" in page
    (pki / "keda.key").chmod(0o644)
    page = certs("show", pki / "keda.key", other / "keda.crt", status=1).stdout
    assert "NONE of these certificates" in page and "others may read it: chmod 600" in page
    (tmp_path / "text").write_text("no certificate\n")
    assert "neither a certificate nor a private key" in certs("show", tmp_path / "text", status=1).stderr
    assert "there is no such file" in certs("show", tmp_path / "absent", status=1).stderr
    bundle = tmp_path / "bundle.crt"
    bundle.write_bytes((pki / "ca.crt").read_bytes() + (other / "ca.crt").read_bytes())
    assert certs("show", bundle).stdout.count("an authority") == 2


@pytest.mark.parametrize("args, says", [
    ([], "--output DIR"),
    (["--manifests", "--renew"], "need --output"),
    (["--output", "x", "--renew", "--force"], "--force"),
    (["--output", "x", "--renew", "--drop-ca"], "one at a time"),
    (["--cert-manager", "--output", "x"], "neither"),
    (["--issuer", "x", "--cert-manager"], "KIND/NAME"),
    (["--manifests", "--days", "0"], "1 to 36500"),
    (["--manifests", "x"], "not an option"),
    (["show"], "a FILE is needed"),
])
def test_wrong_usage_is_said(args, says, tmp_path):
    done = run("gpuscale", "certs", *args)
    assert done.returncode == 2 and says in done.stderr and "--help" in done.stderr


@pytest.mark.parametrize("args, says", [
    (["--namespace", "A B"], "no name of a namespace"),
    (["--cluster-domain", "a\nb"], "no name of a domain"),
    (["--dns", "a,DNS:evil"], "is no DNS name"),
    (["--ip", "10.0.0"], "is no address"),
])
def test_names_that_are_none_are_refused(args, says, tmp_path):
    done = certs("--output", tmp_path / "pki", *args, status=1)
    assert says in done.stderr and not (tmp_path / "pki").exists()


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    assert "file" in certs("--output", tmp_path / "file", status=1).stderr
