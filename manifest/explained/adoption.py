"""Examples of what is imported from existing configurations of supervisor's, and of what supervisord itself speaks with."""

from manifest.explained.example import Example

_IMPORT = """\
 version: 1
 name: shop
 programs:
   from: web.conf
"""

EXAMPLES = {
    "E110": Example(
        """\
 version: 1
 name: shop
 programs:
-  from: web.cfg
+  from: web.conf
""",
        beside={"web.conf": " [program:web]\n command=/opt/web\n"},
    ),
    "E111": Example(_IMPORT, beside={"web.conf": "-[program:web\n+[program:web]\n command=/opt/web\n"}),
    "E112": Example(
        _IMPORT,
        beside={
            "web.conf": """\
-[inet_http_server]
-port=127.0.0.1:9001
-
 [program:web]
 command=/opt/web
"""
        },
    ),
    "E113": Example(
        _IMPORT, beside={"web.conf": " [program:web]\n command=/opt/web\n-stopwaitsec=30\n+stopwaitsecs=30\n"}
    ),
    "E114": Example(
        _IMPORT, beside={"web.conf": " [program:web]\n command=/opt/web\n-stopsignal=STOPP\n+stopsignal=QUIT\n"}
    ),
    "E115": Example(
        _IMPORT,
        beside={"web.conf": " [program:web]\n command=/opt/web\n-autostart=false\n"},
        note="What is there to be started by hand is left out; what the manifest names runs.",
    ),
    "E116": Example(
        """\
 version: 1
 name: shop
 programs:
   from: web.conf
-  web: {command: [/opt/web, --admin]}
+  admin: {command: [/opt/web, --admin]}
""",
        beside={"web.conf": " [program:web]\n command=/opt/web\n"},
    ),
    "E117": Example(
        """\
 version: 1
 name: shop
 programs:
   from: web.conf
   web:
     ready: {tcp: 8000}
-    stop: {signal: TERM}
""",
        beside={"web.conf": " [program:web]\n command=/opt/web\n stopsignal=QUIT\n"},
    ),
    "E118": Example(
        """\
 version: 1
 name: shop
 programs:
-  from: []
+  from: [web.conf]
""",
        beside={"web.conf": " [program:web]\n command=/opt/web\n"},
    ),
    "E119": Example("""\
 version: 1
 name: shop
+boot: {writable: [/run/shop]}
 programs:
   php: {command: [/opt/php], fastcgi: "unix:///run/shop/php.sock"}
"""),
    "W110": Example(_IMPORT, beside={"web.conf": " [program:web]\n command=/opt/web\n-priority=10\n"}),
}
