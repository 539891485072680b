-- Orthanc sends every image that it receives to the Dokuei node at once, but never Dokuei's own results.
-- Load it with "LuaScripts": ["dokuei.lua"] in orthanc.json; "dokuei" is the node's name under "DicomModalities".

local INPUT = { CR = true, DX = true, MG = true, CT = true }
local OWN = { ['DOKUEI'] = true, ['DOKUEI-DEMO'] = true }

function OnStoredInstance(instanceId, tags, metadata, origin)
  if OWN[tags['ManufacturerModelName']] then return end
  if not INPUT[tags['Modality']] then return end
  SendToModality(instanceId, 'dokuei')
end
