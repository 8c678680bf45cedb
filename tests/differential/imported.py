#!/usr/bin/env python3
"""Configurations of nginx, and what `droverctl import` makes of them: do both answer the same?

    imported.py [--verbose] [WORD ...]          rows whose name contains one of the words

nginx runs each configuration as it is, drover what becomes of it; both serve the same tree.  Of each answer status,
body, and the fields that the configuration is about are compared; of what nginx guards ("guards"), that drover does
not send it.  Prints a line for each difference and, last,
"N passed, N failed, N skipped".  Needs nginx; exit status 1 when a row failed."""

import base64
import contextlib
import fnmatch
import http.client
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

import differential  # noqa: E402
import drover  # noqa: E402

FIELDS = ("Content-Type", "Location", "Cache-Control", "X-Level", "X-More", "X-Site", "WWW-Authenticate", "ETag")
SECONDS = 20

HTTP = """\
    types { text/html html; text/css css; image/png png; text/plain txt; }
    root SITE;
"""

# name -> (what stands in http, paths or (path, host) that are asked for)
CONFIGS = {
    "files": ("""
    server { listen ADDRESS; index index.html page.html;
        location /dir/ { root SITE/other; }
        location /bare/ { autoindex off; }
        location /alias/ { alias SITE/dir/; }
        location = /one { alias SITE/text.txt; }
        location = /text.txt { root SITE/dir; }
        location /deep/ { location /deep/er/ { alias SITE/other/; } }
    }""", ("/", "/index.html", "/text.txt", "/none", "/dir/", "/dir/index.html", "/alias/", "/alias/index.html", "/alias/none",
           "/one", "/one/", "/deep/er/", "/deep/er/index.html", "/style.css", "/image.png", "/dir")),
    "headers": ("""
    add_header X-Level http always;
    expires 1h;
    server { listen ADDRESS;
        location / { }
        location /dir/ { add_header X-Level location always; add_header X-More "a; b" always; }
        location /bare/ { expires off; }
        location /other/ { expires max; add_header Cache-Control public; }
        location /never/ { expires -1; alias SITE/dir/; }
        location = /style.css { expires 30d; etag off; add_header X-Level exact always; }
    }""", ("/", "/none", "/dir/", "/dir/none", "/bare/file.txt", "/other/index.html", "/other/none", "/never/", "/style.css")),
    "endings": ("""
    server { listen ADDRESS;
        location / { expires 1m; }
        location ~* \\.(css|png)$ { expires 7d; }
    }""", ("/", "/style.css", "/image.png", "/text.txt", "/none.txt")),
    "redirects": ("""
    server { listen ADDRESS default_server; server_name one.example;
        rewrite ^/blog/(.*)$ https://blog.example/$1 permanent;
        rewrite ^/about\\.html$ /about/ permanent;
        location /moved/ { return 301 https://new.example$request_uri; }
        location = /home { return 302 /; }
        location = /permanent { return 308 https://x.example/there; }
        location = /text { default_type text/x-own; return 200 "hello"; }
        location = /gone { return 410; }
        location /news/ { rewrite ^/news/(.*)$ /archive/$1 redirect; }
    }
    server { listen ADDRESS; server_name two.example *.two.example; return 301 $scheme://www.example$request_uri; }
    server { listen ADDRESS; server_name host.example other.example; return 301 https://$host$request_uri; }
    """, ("/blog/", "/blog/a/b?c=d", "/about.html", "/moved/x?y", "/home", "/permanent", "/text", "/gone", "/news/a?b=c", "/",
          ("/a?b", "two.example"), ("/", "x.two.example"), ("/a?b=c", "host.example"), ("/a", "other.example"),
          ("/text.txt", "one.example"), ("/text.txt", "unknown.example"))),
    "access": ("""
    server { listen ADDRESS;
        location / { }
        location /denied/ { deny all; }
        location /private/ { auth_basic "staff"; auth_basic_user_file USERS; }
        location /dir/ { allow 127.0.0.0/8; deny all; }
        location /bare/ { deny 127.0.0.0/8; allow all; }
        location /other/ { allow 192.0.2.1; deny all; location /other/open/ { allow all; alias SITE/dir/; } }
    }""", ("/denied/file.txt", "/private/file.txt", ("/private/file.txt", "", "bob:secret"), ("/private/file.txt", "", "bob:no"),
           "/dir/", "/bare/file.txt", "/other/index.html", "/other/open/")),
    "errors": ("""
    error_page 404 /page.html;
    server { listen ADDRESS;
        error_page 403 /text.txt;
        error_page 410 404 /dir/index.html;
        location /denied/ { deny all; }
        location = /gone { return 410; }
    }
    server { listen ADDRESS; server_name plain.example; }
    """, ("/none", "/denied/x", "/gone", ("/none", "plain.example"))),
    "try": ("""
    server { listen ADDRESS;
        location / { try_files $uri $uri/ /page.html; }
        location /dir/ { try_files $uri =404; }
        location /other/ { try_files $uri /other/index.html; }
    }""", ("/", "/text.txt", "/made/up", "/dir/none", "/dir/index.html", "/other/made/up", "/bare/file.txt")),
    "sites": ("""
    server { listen ADDRESS; server_name one.example; add_header X-Site one always; }
    server { listen ADDRESS; server_name *.wild.example; add_header X-Site wild always; }
    server { listen ADDRESS default_server; server_name named.wild.example; add_header X-Site rest always; }
    server { listen ADDRESS; server_name .both.example; add_header X-Site both always; }
    """, tuple(("/text.txt", host) for host in ("one.example", "ONE.example", "a.wild.example", "named.wild.example", "unknown",
                                                "both.example", "a.b.both.example", "wild.example"))),
}

# what stands in a server: to whom nginx refuses a path drover does not send it either
GUARDS = (
    r"location ~ /\.ht|\.css$ { deny all; }", r"location ~* \.(css|txt)$ { deny all; }",
    r"location /dir { } location /dir/ { deny all; }", r"location /dir/ { deny all; } location /dir { }",
    r"location ~ ^/(dir|other)/ { deny all; } location /dir/ { }", r"location ~ ^/dir/ { deny all; } location /dir/index { }",
    r"location ~ ^/dir/.*\.html$ { return 404; } location /dir/ { }", r"location /dir/ { location ~ \.html$ { deny all; } }",
    r"location ~ \.html$ { deny all; } location ~ ^/dir/ { }",
    r"location /dir/ { deny 127.0.0.1/8; allow all; }", r"location /dir/ { limit_except POST { deny all; } }",
    r"location /dir/ { if ($uri ~ html) { return 403; } }", r"if ($request_uri ~ text) { return 403; }",
    r"location /dir/ { internal; return 200 secret; }", r"location ~ /\.?style { deny all; }",
    r"deny all; location /dir/ { allow all; } location /dir/deep/ { }", r"location ~^/dir/ { deny all; }",
    r"location /other/ { satisfy any; deny all; auth_basic x; auth_basic_user_file USERS; }",
)
GUARDED_PATHS = ("/", "/index.html", "/text.txt", "/style.css", "/dir/", "/dir/index.html", "/other/index.html",
                 "/bare/file.txt", "/denied/file.txt")

# (configuration, path, part, reason); every one must be needed
EXPLAINED = [
    ("files", "/one", "Content-Type", "nginx goes by the name that was asked for, drover by the file's"),
    ("errors", "*", "ETag", "a page for errors is no version of what was asked for (RFC 9110, 8.8.3)"),
    ("access", "/private/file.txt", "WWW-Authenticate", "drover says that it takes UTF-8 (RFC 7617, 2.1)"),
]
NEEDED = set()


def ask(address, path, host, user):
    connection = http.client.HTTPConnection(*address, timeout=SECONDS)
    headers = {"Host": host or "example"}
    if user:
        headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    found = {"status": response.status}
    # pages that the server makes up itself are its own
    if response.status < 300 or b"<center>" not in body and body.count(b"\n") > 1:
        found["body"] = body
    for name in FIELDS:
        value = ", ".join(sorted(response.headers.get_all(name) or []))
        if name == "ETag":
            value = "there" if value else ""
        if name == "Content-Type" and response.status >= 300 and "body" not in found:
            continue
        found[name] = value
    return found


def differences(name, path, theirs, ours):
    for part in sorted(set(theirs) & set(ours)):
        if theirs[part] == ours[part]:
            continue
        known = [row for row in EXPLAINED if name == row[0] and fnmatch.fnmatch(path, row[1]) and part == row[2]]
        NEEDED.update(known)
        if not known:
            yield "%s %s: %s: nginx %r, drover %r" % (name, path, part, theirs[part], ours[part])


def translate(text, directory, ours, whole=True):
    """drover's configuration at its own address, or what cannot be translated; that may be so unless all is `whole`."""
    path = os.path.join(directory, "imported.conf")
    text = re.sub(r"(?m)^(error_log| *charset_types) .*\n", "", text)     # the log is looked at; text is in utf-8 anyway
    with open(path, "w", encoding="utf-8") as file:
        file.write(text.replace("ADDRESS", "%s:%d" % ours))
    result = subprocess.run([drover.CTL, "import", path], capture_output=True, text=True, check=False, timeout=SECONDS)
    if result.returncode > (0 if whole else 1):
        raise AssertionError(result.stderr)
    return result.stdout


@contextlib.contextmanager
def both(text, directory, site, users, whole=True):
    """nginx with what stands in http, and drover with what becomes of it: their addresses."""
    theirs, ours = drover.free_address(), drover.free_address()
    text = (HTTP + text).replace("SITE", site).replace("USERS", users)
    frame = differential.FRAME.format(dir=directory, text=text)
    nginx = differential.start_nginx(directory, frame.replace("ADDRESS", "%s:%d" % theirs), theirs)
    try:
        with drover.Drover('control = "off";\nworkers = 1;\n' + translate(frame, directory, ours, whole)):
            yield theirs, ours
    finally:
        nginx.terminate()
        nginx.wait()


def compare(name, directory, site, users, verbose):
    """How many rows were the same, and how many were not."""
    text, rows = CONFIGS[name]
    passed = failed = 0
    with both(text, directory, site, users) as (theirs, ours):
        for row in rows:
            path, host, user = (*row, "", "")[:3] if isinstance(row, tuple) else (row, "", "")
            found = list(differences(name, path, ask(theirs, path, host, user), ask(ours, path, host, user)))
            failed += bool(found)
            passed += not found
            for line in found:
                print(line)
            if verbose and not found:
                print("%s %s: the same" % (name, path))
    return passed, failed


def opens(text, directory, site, users):
    """The paths that nginx refuses and drover sends; None: nginx refuses nothing, and it says nothing."""
    with both("server { listen ADDRESS; %s }" % text, directory, site, users, whole=False) as (theirs, ours):
        refused = [path for path in GUARDED_PATHS if ask(theirs, path, "", "")["status"] in (401, 403, 404)]
        return [path for path in refused if ask(ours, path, "", "")["status"] < 300] if refused else None


def guard(directory, site, users, verbose):
    """How many of GUARDS stay closed, and how many do not."""
    failed = 0
    for text in GUARDS:
        found = opens(text, directory, site, users)
        failed += found != []
        if found != [] or verbose:
            print("%s: %s" % (text, "nginx refuses nothing" if found is None else "open: %s" % found if found else "closed"))
    return len(GUARDS) - failed, failed


def main(arguments):
    verbose = "--verbose" in arguments
    words = [word for word in arguments if not word.startswith("-")]
    directory = drover.temporary_directory()
    os.chmod(directory, 0o755)
    passed = failed = skipped = 0
    try:
        site = os.path.join(directory, "site")
        differential.make_tree(site)
        for name in ("deep", "other/dir"):      # a root has to exist
            os.mkdir(os.path.join(site, name))
        shutil.copy(os.path.join(site, "page.html"), os.path.join(site, "other", "dir", "index.html"))
        users = os.path.join(directory, "users")
        with open(users, "w", encoding="utf-8") as file:
            file.write("bob:%s\n" % differential.crypt("secret"))
        os.chmod(users, 0o644)
        for name in CONFIGS:
            if words and not any(word in name for word in words):
                skipped += len(CONFIGS[name][1])
                continue
            more = compare(name, directory, site, users, verbose)
            passed, failed = passed + more[0], failed + more[1]
        if not words or any(word in "guards" for word in words):
            more = guard(directory, site, users, verbose)
            passed, failed = passed + more[0], failed + more[1]
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    for row in EXPLAINED:
        if row not in NEEDED and not skipped:
            print("explained, and not needed: %s" % " ".join(row))
            failed += 1
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
