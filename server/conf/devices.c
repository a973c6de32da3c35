/* SPDX-License-Identifier: BSD-3-Clause */
/* The device table.  See devices.h. */
#include <config.h>

#include <stddef.h>
#include <string.h>

#include "conf/devices.h"
#include "conf/settings.h"

#define UNITS static const struct device_unit
#define END { NULL, NULL }
#define QUEUE NO_PATH_RETRY_QUEUE

/* What the vendors' guides call "host type ALUA". */
#define RDAC "set its host type to one with ALUA (Linux DM-MP, ALUA)"

UNITS hpe_3par[] = { { "3PARdata", "VV" }, END };
UNITS hpe_msa[] = {
  { "HP", "MSA 1040" }, { "HP", "MSA 2040" }, { "HPE", "MSA " },
  { "HP", "P2000" }, { "HP", "MSA2" }, END
};
UNITS hpe_eva[] = {
  { "HP", "HSV" }, { "COMPAQ", "HSV" }, { "HP", "MSA VOLUME" },
  { "COMPAQ", "MSA" }, END
};
UNITS hpe_store_virtual[] = { { "LEFTHAND", "" }, END };
UNITS hpe_nimble[] = { { "Nimble", "Server" }, END };
UNITS dell_symmetrix[] = { { "EMC", "SYMMETRIX" }, END };
UNITS dell_unity[] = {
  { "DGC", "RAID" }, { "DGC", "DISK" }, { "DGC", "VRAID" }, END
};
UNITS dell_vplex[] = { { "EMC", "Invista" }, END };
UNITS dell_sc[] = { { "COMPELNT", "Compellent Vol" }, END };
UNITS dell_md[] = { { "DELL", "MD3" }, END };
UNITS dell_power_store[] = { { "DellEMC", "PowerStore" }, END };
UNITS dell_equal_logic[] = { { "EQLOGIC", "100E-00" }, END };
UNITS fujitsu_eternus[] = { { "FUJITSU", "ETERNUS_DX" }, END };
UNITS hitachi_vsp[] = { { "HITACHI", "OPEN-" }, { "HP", "OPEN-" }, END };
UNITS hitachi_ams[] = { { "HITACHI", "DF" }, END };
UNITS huawei_ocean_stor[] = { { "HUAWEI", "XSG1" }, END };
UNITS ibm_svc[] = { { "IBM", "2145" }, END };
UNITS ibm_ds8000[] = {
  { "IBM", "2107900" }, { "IBM", "1750500" }, END
};
UNITS ibm_xiv[] = { { "IBM", "2810XIV" }, { "XIV", "NEXTRA" }, END };
UNITS infinidat[] = { { "NFINIDAT", "InfiniBox" }, END };
UNITS infortrend[] = { { "IFT", "" }, END };
UNITS net_app_ontap[] = { { "NETAPP", "LUN" }, END };
UNITS net_app_e_series[] = {
  { "NETAPP", "INF-01-00" }, { "LENOVO", "DE_Series" },
  { "FUJITSU", "ETERNUS_AHB" }, { "SUN", "STK6580_6780" },
  { "SUN", "LCSM100_" }, { "SUN", "CSM" }, { "SUN", "SUN_6180" },
  { "LSI", "INF-01-00" }, { "SGI", "IS" },
  { "IBM", "1722-600" }, { "IBM", "1724" }, { "IBM", "1726" },
  { "IBM", "1742" }, { "IBM", "1746" }, { "IBM", "1813" }, { "IBM", "1814" },
  { "IBM", "1815" }, { "IBM", "1818" }, END
};
UNITS net_app_solid_fire[] = { { "SolidFir", "SSD SAN" }, END };
UNITS nexsan[] = { { "NEXSAN", "" }, { "Nexsan", "" }, END };
UNITS oracle_zfs[] = {
  { "SUN", "Sun Storage" }, { "SUN", "ZFS Storage" }, { "SUN", "COMSTAR" },
  { "NEXENTA", "COMSTAR" }, END
};
UNITS oracle_tegile[] = {
  { "TEGILE", "" }, END
};
UNITS promise[] = { { "Promise", "VTrak" }, { "Promise", "Vess" }, END };
UNITS pure[] = { { "PURE", "FlashArray" }, END };
UNITS qsan[] = { { "Qsan", "" }, { "QSAN", "" }, END };
UNITS data_core[] = { { "DataCore", "" }, END };

static const struct device_family families[] = {
  { .name = "HPE 3PAR, Primera, Alletra 9000", .units = hpe_3par,
    .no_path_retry = 18, .fast_io_fail_tmo = 10 },
  { .name = "HPE MSA, P2000", .units = hpe_msa, .no_path_retry = 18 },
  { .name = "HP EVA, old MSA", .units = hpe_eva, .no_path_retry = 12,
    .to_alua = "install a firmware with ALUA (active/active), or one with "
    "ALUA as its host mode" },
  { .name = "HPE StoreVirtual", .units = hpe_store_virtual,
    .no_path_retry = 18 },
  { .name = "HPE Nimble, Alletra 5000 and 6000", .units = hpe_nimble,
    .no_path_retry = QUEUE },
  { .name = "Dell EMC Symmetrix, VMAX, PowerMax", .units = dell_symmetrix,
    .no_path_retry = 6 },
  { .name = "Dell EMC Unity, VNX, CLARiiON", .units = dell_unity,
    .no_path_retry = 60,
    .to_alua = "register this host with failover mode 4 (ALUA)" },
  { .name = "Dell EMC VPLEX", .units = dell_vplex, .no_path_retry = 5 },
  { .name = "Dell SC, Compellent", .units = dell_sc, .no_path_retry = QUEUE },
  { .name = "Dell MD3", .units = dell_md, .no_path_retry = 30,
    .to_alua = RDAC },
  { .name = "Dell PowerStore", .units = dell_power_store, .no_path_retry = 3,
    .fast_io_fail_tmo = 15 },
  { .name = "Dell EqualLogic PS", .units = dell_equal_logic,
    .no_path_retry = 30 },
  { .name = "Fujitsu ETERNUS DX", .units = fujitsu_eternus,
    .no_path_retry = 10 },
  { .name = "Hitachi VSP, USP, HPE XP", .units = hitachi_vsp,
    .no_path_retry = 10 },
  { .name = "Hitachi AMS, HUS 100", .units = hitachi_ams,
    .no_path_retry = QUEUE },
  { .name = "Huawei OceanStor", .units = huawei_ocean_stor,
    .no_path_retry = 15 },
  { .name = "IBM SVC, Storwize, FlashSystem", .units = ibm_svc,
    .no_path_retry = QUEUE },
  { .name = "IBM DS6000, DS8000", .units = ibm_ds8000,
    .no_path_retry = QUEUE },
  { .name = "IBM XIV, FlashSystem A9000", .units = ibm_xiv,
    .no_path_retry = QUEUE, .failback = 15 },
  { .name = "INFINIDAT InfiniBox", .units = infinidat, .no_path_retry = QUEUE,
    .fast_io_fail_tmo = 15 },
  { .name = "Infortrend EonStor", .units = infortrend, .no_path_retry = 30 },
  { .name = "NetApp ONTAP", .units = net_app_ontap, .no_path_retry = QUEUE },
  { .name = "NetApp E-Series and its kin (RDAC)", .units = net_app_e_series,
    .no_path_retry = 30, .to_alua = RDAC },
  { .name = "NetApp SolidFire", .units = net_app_solid_fire,
    .no_path_retry = 24 },
  { .name = "Nexsan", .units = nexsan, .no_path_retry = 15 },
  { .name = "Oracle ZFS Storage, COMSTAR", .units = oracle_zfs,
    .no_path_retry = 30 },
  { .name = "Tegile IntelliFlash", .units = oracle_tegile,
    .no_path_retry = 10 },
  { .name = "Promise VTrak, Vess", .units = promise, .no_path_retry = 30 },
  { .name = "Pure FlashArray", .units = pure, .fast_io_fail_tmo = 10 },
  { .name = "QSAN", .units = qsan, .no_path_retry = 30,
    .prio_args = "exclusive_pref_bit" },
  { .name = "DataCore SANsymphony, SANmelody", .units = data_core,
    .no_path_retry = QUEUE },
};
#define NR_FAMILIES (sizeof families / sizeof families[0])

const struct device_family *
device_family (const struct lu_facts *lu)
{
  for (size_t i = 0; i < NR_FAMILIES; ++i)
    for (const struct device_unit *u = families[i].units; u->vendor; ++u)
      if (strcmp (lu->vendor, u->vendor) == 0 &&
          strncmp (lu->product, u->product, strlen (u->product)) == 0)
        return &families[i];
  return NULL;
}

const struct device_family *
device_family_at (unsigned i)
{
  return i < NR_FAMILIES ? &families[i] : NULL;
}
