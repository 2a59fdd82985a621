"""Examples of what can be wrong with the file itself and its YAML."""

from manifest.explained.example import Example

EXAMPLES = {
    "E001": Example(
        """\
-mkdir bootseal.yaml
+printf 'version: 1\\nname: shop\\nprograms:\\n  api: {command: [/opt/api]}\\n' > bootseal.yaml
""",
        is_script=True,
    ),
    "E002": Example(
        """\
 printf 'version: 1\\nname: shop\\nprograms:\\n  api: {command: [/opt/api]}\\n' > bootseal.yaml
-printf '#%1048576d\\n' 0 >> bootseal.yaml
""",
        is_script=True,
        note="The comment alone has 1 MiB.",
    ),
    "E003": Example(
        """\
 printf 'version: 1\\nname: shop\\nprograms:\\n  api: {command: [/opt/api]}\\n' > bootseal.yaml
-printf '# \\033[31mred\\033[0m\\n' >> bootseal.yaml
+printf '# red\\n' >> bootseal.yaml
""",
        is_script=True,
        note="A comment that would colour the terminal of whoever reads it.",
    ),
    "E004": Example("""\
 # the manifest of the shop
+version: 1
+name: shop
+programs:
+  api: {command: [/opt/api]}
"""),
    "E005": Example("""\
 version: 1
 name: shop
 programs:
   api:
     command: [/opt/api]
-    environment: {GREETING: hello: world}
+    environment: {GREETING: "hello: world"}
"""),
    "E006": Example("""\
 version: 1
 name: shop
----
 programs:
   api: {command: [/opt/api]}
"""),
    "E007": Example("""\
-- version: 1
-- name: shop
-- programs:
-    api: {command: [/opt/api]}
+version: 1
+name: shop
+programs:
+  api: {command: [/opt/api]}
"""),
    "E008": Example("""\
 version: 1
 name: shop
 programs:
-  api: {command: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[/opt/api]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}
+  api: {command: [/opt/api]}
"""),
    "E009": Example("""\
-a: &a [x, x, x, x, x, x, x, x, x, x]
-b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]
-c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]
-d: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]
-e: [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]
 version: 1
 name: shop
 programs:
   api: {command: [/opt/api]}
"""),
    "E010": Example("""\
 version: 1
 name: shop
 programs:
   api: {command: [/opt/api]}
-  api: {command: [/opt/api, --admin]}
+  admin: {command: [/opt/api, --admin]}
"""),
    "E011": Example("""\
 version: 1
 name: shop
 programs:
-  [api, worker]: {command: [/opt/shop]}
+  api: {command: [/opt/shop]}
+  worker: {command: [/opt/shop]}
"""),
    "E012": Example("""\
 version: 1
 name: shop
 programs:
-  api: {command: [/opt/api, --port, !!str 8000]}
+  api: {command: [/opt/api, --port, 8000]}
"""),
    "E013": Example("""\
 version: 1
 name: shop
 programs:
-  api: &api {command: [/opt/api], required: true}
-  admin: {<<: *api, required: false}
+  api: {command: &api [/opt/api], required: true}
+  admin: {command: *api, required: false}
"""),
    "E014": Example("""\
 version: 1
 name: shop
 programs:
   api: {command: &shop [/opt/shop]}
-  worker: {command: *show}
+  worker: {command: *shop}
"""),
}
