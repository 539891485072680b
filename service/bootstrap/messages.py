# SPDX-License-Identifier: Apache-2.0
"""What parent and child processes say to each other, as types that pydantic turns into JSON and back."""

from pydantic import TypeAdapter

from service.bootstrap.packages import PackageChoice, PackageReport
from service.domain.result import Reason
from service.ports import AnalysisRequest, AnalysisSummary, EncodeRequest, RejectRequest, ResultObject

REQUEST = TypeAdapter(AnalysisRequest)
SUMMARY = TypeAdapter(AnalysisSummary)
ENCODE_REQUEST = TypeAdapter(EncodeRequest)
REASONS = TypeAdapter(tuple[Reason, ...])
REJECT_REQUEST = TypeAdapter(RejectRequest)
OBJECT = TypeAdapter(ResultObject)
OBJECTS = TypeAdapter(tuple[ResultObject, ...])
CHOICES = TypeAdapter(dict[str, PackageChoice])
REPORTS = TypeAdapter(dict[str, PackageReport])
