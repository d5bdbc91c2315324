# Remit in AWS account 111122223333: its roles, the policies by which their sessions are revoked, and
# the role that writes those. Written by `remit-server aws plan`; docs/revocation.md tells how it is used.
# A role that is there already is taken over by `terraform import aws_iam_role.<name> <role name>`.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "gateway_principal_arn" {
  type        = string
  description = "The ARN of the gateway's own role or user."
}

variable "external_id_remit_reports" {
  type        = string
  description = "What the gateway says as external id to remit-reports."
  sensitive   = true
}

# The gateway writes new versions of these. Never let Terraform put the first text back: whoever was revoked
# would be let in again.
resource "aws_iam_policy" "remit_revocations" {
  for_each = toset([
    "1",
    "2",
    "3",
    "4",
  ])
  name     = "remit-revocations-${each.key}"
  policy   = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Deny"
      Action = "*"
      Resource = "*"
      Condition = {
        StringLike = {
          "aws:PrincipalTag/remit:grant" = ["-"]
        }
      }
    }]
  })

  lifecycle {
    ignore_changes = [policy]
  }
}

resource "aws_iam_policy" "remit_canary" {
  name   = "remit-canary"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Action = "ec2:DescribeRegions"
      Resource = "*"
    }]
  })
}

resource "aws_iam_role" "remit_reports" {
  name                 = "remit-reports"
  path                 = "/agents/"
  max_session_duration = 3600
  assume_role_policy   = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Principal = {
        AWS = var.gateway_principal_arn
      }
      Action = [
        "sts:AssumeRole",
        "sts:TagSession",
        "sts:SetSourceIdentity",
      ]
      Condition = {
        StringLike = {
          "aws:RequestTag/remit:grant" = "?*.?*.?*"
          "aws:RequestTag/remit:by" = "?*.?*"
          "sts:SourceIdentity" = "?*.?*"
        }
        "ForAllValues:StringEquals" = {
          "aws:TagKeys" = [
            "remit:by",
            "remit:grant",
          ]
        }
        StringEquals = {
          "sts:ExternalId" = var.external_id_remit_reports
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "remit_reports" {
  name   = "remit-ceiling"
  role   = aws_iam_role.remit_reports.name
  policy = jsonencode({
    Statement = [{
      Action = [
        "s3:GetObject",
        "s3:PutObject",
      ]
      Effect = "Allow"
      Resource = "arn:aws:s3:::reports/$${aws:PrincipalTag/team}/%%{if}*"
    }]
    Version = "2012-10-17"
  })
}

resource "aws_iam_role_policy_attachment" "remit_reports_revocations" {
  for_each   = aws_iam_policy.remit_revocations
  role       = aws_iam_role.remit_reports.name
  policy_arn = each.value.arn
}

resource "aws_iam_role_policy_attachment" "remit_reports_canary" {
  role       = aws_iam_role.remit_reports.name
  policy_arn = aws_iam_policy.remit_canary.arn
}

resource "aws_iam_role" "remit_data" {
  name                 = "remit-data"
  path                 = "/"
  max_session_duration = 3600
  assume_role_policy   = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Principal = {
        AWS = var.gateway_principal_arn
      }
      Action = [
        "sts:AssumeRole",
        "sts:TagSession",
        "sts:SetSourceIdentity",
      ]
      Condition = {
        StringLike = {
          "aws:RequestTag/remit:grant" = "?*.?*.?*"
          "aws:RequestTag/remit:by" = "?*.?*"
          "sts:SourceIdentity" = "?*.?*"
        }
        "ForAllValues:StringEquals" = {
          "aws:TagKeys" = [
            "remit:by",
            "remit:grant",
          ]
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "remit_data" {
  name   = "remit-ceiling"
  role   = aws_iam_role.remit_data.name
  policy = jsonencode({
    Statement = [{
      Action = "dynamodb:GetItem"
      Effect = "Allow"
      Resource = "*"
    }]
    Version = "2012-10-17"
  })
}

resource "aws_iam_role_policy_attachment" "remit_data_revocations" {
  for_each   = aws_iam_policy.remit_revocations
  role       = aws_iam_role.remit_data.name
  policy_arn = each.value.arn
}

resource "aws_iam_role" "remit_revoker" {
  name                 = "remit-revoker"
  max_session_duration = 3600
  assume_role_policy   = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Principal = {
        AWS = var.gateway_principal_arn
      }
      Action = [
        "sts:AssumeRole",
        "sts:SetSourceIdentity",
      ]
      Condition = {
        StringEquals = {
          "sts:SourceIdentity" = "REMIT.revoker"
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "remit_revoker" {
  name   = "revoke"
  role   = aws_iam_role.remit_revoker.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Action = [
        "iam:CreatePolicyVersion",
        "iam:DeletePolicyVersion",
        "iam:GetPolicy",
        "iam:GetPolicyVersion",
        "iam:ListPolicyVersions",
      ]
      Resource = [
        "arn:aws:iam::111122223333:policy/remit-revocations-1",
        "arn:aws:iam::111122223333:policy/remit-revocations-2",
        "arn:aws:iam::111122223333:policy/remit-revocations-3",
        "arn:aws:iam::111122223333:policy/remit-revocations-4",
      ]
    }]
  })
}
