# SPDX-License-Identifier: Apache-2.0
"""Makes the package diffuse-lung-demo: a twelve-pattern patch classifier trained on HRCT phantoms alone."""
