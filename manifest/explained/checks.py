"""Examples of expressions, and of what checks and signals are made of."""

from manifest.explained.example import Example

EXAMPLES = {
    "E040": Example(
        """\
 version: 1
 name: shop
 programs:
-  api: {command: [/opt/api, "${HOME}/shop.db"]}
+  api: {command: [sh, -c, 'exec /opt/api "$HOME/shop.db"']}
""",
        note="Variables are a shell's.",
    ),
    "E041": Example("""\
 version: 1
 name: shop
 boot: {writable: [/data]}
 programs:
-  api: {command: [/opt/api, "${writable:/date}/shop.db"]}
+  api: {command: [/opt/api, "${writable:/data}/shop.db"]}
"""),
    "E042": Example("""\
 version: 1
 name: shop
-boot: {writable: ["${run}/shop"]}
+boot: {writable: [/run/shop]}
 programs:
   api: {command: [/opt/api]}
"""),
    "E043": Example(
        """\
 version: 1
 name: shop
 boot: {writable: [/data]}
 programs:
-  api: {command: [/opt/api, /data/shop.db]}
+  api: {command: [/opt/api, "${writable:/data}/shop.db"]}
""",
        up=True,
    ),
    "E044": Example("""\
 version: 1
 name: shop
 programs:
   api:
     command: [/opt/api]
-    ready: {http: {url: "http://127.0.0.1:8000/", status: 2xx}}
+    ready: {http: {url: "http://127.0.0.1:8000/", status: 200-299}}
"""),
    "E045": Example("""\
 version: 1
 name: shop
 programs:
   api:
     command: [/opt/api]
-    ready: {http: {url: "http://127.0.0.1:8000/", headers: {"Host:": shop}}}
+    ready: {http: {url: "http://127.0.0.1:8000/", headers: {Host: shop}}}
"""),
    "E046": Example("""\
 version: 1
 name: shop
 programs:
   db:
     command: [/opt/db]
-    ready: {tcp: "db:5432"}
+    ready: {tcp: 5432}
"""),
    "E047": Example("""\
 version: 1
 name: shop
 programs:
   api:
     command: [/opt/api]
-    ready: {log: 'listening (port'}
+    ready: {log: 'listening \\(port'}
"""),
    "E048": Example(
        """\
 version: 1
 name: shop
 programs:
   api:
     command: [/opt/api]
-    ready: {log: '(\\w+\\s?)+ ready'}
+    ready: {log: '\\w ready'}
""",
        note="It is found anywhere in a line, so what stands before it need not be matched.",
    ),
    "E049": Example("""\
 version: 1
 name: shop
 programs:
   api: {command: [/opt/api]}
-signals: {HUP: []}
+signals: {HUP: [api]}
"""),
}
