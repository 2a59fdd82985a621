"""Examples of features, exceptions, storage and limits."""

from manifest.explained.example import Example

EXAMPLES = {
    "E096": Example("""\
 version: 1
 name: shop
+features: [code-server]
 security: {exceptions: {code-server: the shop is edited in place}}
 programs:
   api: {command: [/opt/api]}
"""),
    "E097": Example("""\
 version: 1
 name: shop
 features: [code-server]
+security: {exceptions: {code-server: the shop is edited in place}}
 programs:
   api: {command: [/opt/api]}
"""),
    "E098": Example("""\
 version: 1
 name: shop
 features: [ping]
 security:
   exceptions:
     ping:
       reason: it measures how far the shop is from its customers
       capabilities: [NET_RAW]
+      acknowledge: [NET_RAW]
 programs:
   ping: {command: [/opt/ping]}
"""),
    "E099": Example("""\
 version: 1
 name: shop
 features: [ping]
 security:
   exceptions:
     ping:
       reason: it measures how far the shop is from its customers
-      capabilities: [ALL]
-      acknowledge: [ALL]
+      capabilities: [NET_RAW]
+      acknowledge: [NET_RAW]
 programs:
   ping: {command: [/opt/ping]}
"""),
    "E100": Example("""\
 version: 1
 name: shop
 features: [scanner, till]
 security:
   exceptions:
-    scanner: {reason: it reads codes, devices: ["/dev/video0:r"]}
+    scanner: {reason: it reads codes, devices: ["/dev/video0:rw"]}
     till: {reason: it sees the drawer, devices: ["/dev/video0:rw"]}
 programs:
   api: {command: [/opt/api]}
"""),
    "E105": Example(
        """\
 version: 1
 name: shop
-boot: {writable: [/opt/shop]}
+boot: {writable: [/opt/shop/cache]}
 programs:
   api: {command: [/opt/shop/api]}
""",
        note="What is writable is in memory, and empty when the container starts, unless it is a volume.",
    ),
    "E106": Example("""\
 version: 1
 name: shop
 features: [portraits]
 security:
   exceptions:
-    portraits: {reason: customers are drawn, inherits: gpu-cude}
+    portraits: {reason: customers are drawn, inherits: gpu-cuda}
 programs:
   api: {command: [/opt/api]}
"""),
    "E107": Example("""\
 version: 1
 name: shop
 features: [scanner]
 security:
   exceptions:
-    scanner: {reason: it reads codes, devices: [video0]}
+    scanner: {reason: it reads codes, devices: [/dev/video0]}
 programs:
   api: {command: [/opt/api]}
"""),
    "E108": Example("""\
 version: 1
 name: shop
-resources: {memory: 32MiB}
+resources: {memory: 512MiB}
 programs:
   api: {command: [/opt/api]}
"""),
    "E120": Example("""\
 version: 1
 name: shop
-boot: {writable: [{path: /tmp/orders, size: 16MiB}]}
+boot: {writable: [{path: /tmp/orders, storage: tmpfs, size: 16MiB}]}
 programs:
   api: {command: [/opt/api]}
"""),
    "E121": Example("""\
 version: 1
 name: shop
 security:
-  user: "1000:1000"
   exceptions: {program-users: the plug-ins are not ours}
 programs:
   api: {command: [/opt/api], user: "1001:1001"}
"""),
    "E122": Example("""\
 version: 1
 name: shop
-security: {tmpfs: {/var/cache/shop: 0}}
+security: {tmpfs: {/var/cache/shop: 16MiB}}
 programs:
   api: {command: [/opt/api]}
"""),
    "W015": Example(
        """\
 version: 1
 name: shop
-resources: {memory: 128MiB}
+resources: {memory: 512MiB}
 programs:
   api: {command: [/opt/api]}
""",
        note="/run and /tmp are in memory, and hold 64MiB each.",
    ),
}
